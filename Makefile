# make book   the environment, then every notebook executed and the HTML book built
# make pdf    the built book as one PDF; PAGES="book/basics/uniform …" for some of it, SOLUTIONS=1 with the solutions
# make lab    JupyterLab on the labs
# make reproduce   every notebook executed once more: the same numbers as in the book?
# make test   everything that must hold: style, types, tests, notebooks, the book, the book in a browser
SHELL := /bin/bash
BIN := .venv/bin
export PYTHON

.DEFAULT_GOAL := book
.PHONY: book pdf lab test reproduce env check page release clean

env:
	@tools/env.sh

book: env
	@tools/book.sh

# One page quickly: make page P=book/basics/uniform
page: env
	@tools/page.sh "$(P)"

pdf: env
	@$(BIN)/python tools/pdf.py $(PAGES) $(if $(SOLUTIONS),--solutions)

lab: env
	@$(BIN)/jupyter lab --notebook-dir=labs/release

test:
	@tools/test.sh

reproduce: book
	@$(BIN)/python tools/reproduce.py

check: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# The students' version of the labs, made from labs/source.
release: env
	@$(BIN)/python tools/release.py

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
