# Shared by the other scripts here; sourced from the top folder.
export PYDEVD_DISABLE_FILE_VALIDATION=1 JUPYTER_PREFER_ENV_PATH=1 PATH="$PWD/.venv/bin:$PATH"
# Kernels find the environment's own kernel, whatever else the machine has.

# What the book needs beside its sources: the list of written chapters, and plotly's script from the installed wheel.
prepare_book() {
    .venv/bin/python tools/frame.py
    .venv/bin/python tools/api.py
    .venv/bin/python - <<'PY'
import pathlib, plotly, shutil
source = pathlib.Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
target = pathlib.Path("book/_static/plotly.min.js")
if not target.exists() or target.read_bytes() != source.read_bytes():
    shutil.copyfile(source, target)
PY
}
