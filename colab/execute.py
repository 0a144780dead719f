"""Runs the notebooks, and stores their outputs in them.

python colab/execute.py [NAME ...]

Each takes up to ten minutes on two cores. A test checks that the outputs are of
the present code: its hash is stored beside them.
"""

import hashlib
import pathlib
import sys

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent
KEY = "tf_transfer"
_KEPT = ("image/png", "text/plain", "text/html")


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """Returns the hash of a notebook's code cells."""
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


def small(notebook: nbformat.NotebookNode) -> None:
    """Removes logs, times and the like from the outputs."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if "data" in output:
                output.data = {
                    k: v for k, v in output.data.items() if k in _KEPT
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
    names = sys.argv[1:] or sorted(p.stem for p in FOLDER.glob("*.ipynb"))
    for name in names:
        print(name, flush=True)
        execute(name)


if __name__ == "__main__":
    main()
