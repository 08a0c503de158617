"""Print the tables of ratios at the end of the run, whatever pytest captures."""

import pytest

TABLES = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[TABLES] = []


@pytest.fixture
def table(request):
    """Return a function that adds a line to the table printed at the end."""
    return request.config.stash[TABLES].append


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[TABLES]:
        terminalreporter.section("ratios, one thread, median (quartiles)")
        for line in config.stash[TABLES]:
            terminalreporter.write_line(line)
