"""Runs the notebooks, and stores their outputs in them.

python colab/execute.py [NAME ...]

Each takes up to ten minutes on two cores. A test checks that the outputs are of
the present code: its hash is stored beside them.
"""

import base64
import hashlib
import io
import pathlib
import re
import sys
import tempfile

import nbclient
import nbformat
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
KEY = "tf_transfer"
PNG = "image/png"
_KEPT = (PNG, "text/plain", "text/html")
_COLOURS = 32
_TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"/\w+")


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """Returns the hash of a notebook's code cells."""
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


def smaller(picture: str) -> str:
    """Returns a PNG file of few colours, in base 64 as it was."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    file = io.BytesIO()
    image.quantize(_COLOURS).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def small(notebook: nbformat.NotebookNode) -> None:
    """Removes logs, times and the like from the outputs."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if "text" in output:
                output.text = _TEMPORARY.sub("FOLDER", output.text)
            if "data" in output:
                output.data = {
                    kind: smaller(value) if kind == PNG else value
                    for kind, value in output.data.items()
                    if kind in _KEPT
                }


def execute(name: str) -> None:
    """Runs one notebook from a fresh kernel, and stores it."""
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1_800, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    small(notebook)
    notebook.metadata[KEY] = {"outputs_of": code_hash(notebook)}
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


def main() -> None:
    """Runs the notebooks that are named, or all."""
    names = sys.argv[1:] or sorted(p.stem for p in FOLDER.glob("*.ipynb"))
    for name in names:
        print(name, flush=True)
        execute(name)


if __name__ == "__main__":
    main()
