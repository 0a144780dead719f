"""The notebooks run from top to bottom, offline and on a small budget."""

import functools
import importlib.util
import os
import pathlib
import re

import nbclient
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

import tf_transfer as tt
from tests import helpers

FOLDER = helpers.REPOSITORY / "colab"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


class ThisInterpreter(AsyncKernelManager):
    """Starts this interpreter, whatever kernels are installed here."""

    def __init__(self, **settings):
        kernels = KernelSpecManager(kernel_dirs=[])
        super().__init__(kernel_spec_manager=kernels, **settings)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"]


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Executes a notebook once; returns it with its outputs."""

    @functools.cache
    def run(name):
        notebook = read(name)
        client = nbclient.NotebookClient(
            notebook,
            kernel_manager_class=ThisInterpreter,
            timeout=600,
            resources={"metadata": {"path": tmp_path_factory.mktemp(name)}},
        )
        nowhere = "http://127.0.0.1:9"  # a download fails at once
        client.execute(
            env=os.environ
            | {
                "PYTHONPATH": str(helpers.REPOSITORY),
                "TF_TRANSFER_QUICK": "1",
                "http_proxy": nowhere,
                "https_proxy": nowhere,
            }
        )
        return notebook

    return run


def printed(notebook, cell_id):
    """What a cell wrote to standard output."""
    (cell,) = (c for c in notebook.cells if c.id == cell_id)
    return "".join(o.text for o in cell.outputs if o.get("name") == "stdout")


def figures(notebook):
    """The identities of the cells that drew a figure."""
    return [
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]


@pytest.mark.colab
def test_which_source_data(execute):
    notebook = execute("which_source_data")
    assert figures(notebook) == [
        "show",
        "toy",
        "answers",
        "weights",
        "side_by_side",
        "batch",
        "plot",
    ]
    shares = re.findall(r"source: ([\d.]+)% of", printed(notebook, "finetune"))
    assert len(shares) == 2
    assert all(20 < float(share) <= 100 for share in shares)
    gains = printed(notebook, "told")
    assert re.search(r"^datl +[+-]\d+\.\d \+- \d+\.\d points: ", gains, re.M)
    assert re.search(r"the choice is (finetune|finetune_related|datl)\.", gains)


@pytest.mark.colab
def test_watch_the_policy_learn(execute):
    notebook = execute("watch_the_policy_learn")
    assert figures(notebook) == [
        "show",
        "circle",
        "dice",
        "weights",
        "scale",
        "final",
        "frozen",
        "dots",
    ]
    (share,) = re.findall(r"in (\d+)% of all pairs", printed(notebook, "area"))
    assert 0 <= int(share) <= 100
    gains = printed(notebook, "dots")
    for pair in ("learned less frozen", "refit less equal"):
        assert re.search(rf"^{pair}, .*: [+-]\d+\.\d$", gains, re.M)


@pytest.mark.colab
def test_your_own_data(execute):
    notebook = execute("your_own_data")
    assert printed(notebook, "source") == "460 images of 46 classes\n"
    assert figures(notebook) == [
        "framing",
        "weights",
        "side_by_side",
        "results",
        "predict",
    ]
    report = printed(notebook, "results").split("The report: ")[1].strip()
    assert pathlib.Path(report).is_file()
    exported = printed(notebook, "export")
    assert re.search(r"method: (finetune|datl)\n", exported)
    assert "serve_bytes" in exported
    answers = printed(notebook, "predict").strip().splitlines()
    assert len(answers) == 5
    for answer in answers:
        assert re.fullmatch(r"handwritten \d: \d+%", answer)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_clean(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        # Given by hand, so that they stay; a tool's own are eight hex digits.
        assert re.fullmatch(r"[a-z_]+", cell.id), cell.id
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert not re.search(r"/(home|root|work|tmp|Users|usr)/", text)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_install_first_and_use_public_names(name):
    first, *rest = code_of(read(name))
    assert "%pip install -q {TF_TRANSFER}" in first
    rest = "\n".join(rest)
    assert "import tf_transfer as tt\n" in rest
    assert not re.search(r"from tf_transfer|import tf_transfer\.", rest)
    used = set(re.findall(r"\btt\.(\w+)", rest))
    assert used
    assert used <= set(tt.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_the_outputs_in_a_notebook_are_those_of_its_code(name):
    notebook = read(name)
    path = FOLDER / "execute.py"
    spec = importlib.util.spec_from_file_location("execute", path)
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    stored = notebook.metadata[execute.KEY]["outputs_of"]
    assert stored == execute.code_hash(notebook), "run colab/execute.py"
    assert len(figures(notebook)) > 2
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 2**20


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_every_notebook(name):
    readme = (helpers.REPOSITORY / "README.md").read_text()
    assert f"colab/{name}.ipynb" in readme
