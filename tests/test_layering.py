"""Who may import whom: a module imports only lower ranks."""

import ast

import conftest

PACKAGE = conftest.REPOSITORY / "tf_transfer"
RANKS = {
    "errors": 0,
    "charts": 1,
    "config": 1,
    "diagnostics": 1,
    "framing": 1,
    "glyphs": 1,
    "losses": 1,
    "metrics": 1,
    "parallel": 1,
    "prediction": 1,
    "randomness": 1,
    "raw_images": 1,
    "steps": 1,
    "three_streams": 1,
    "versions": 1,
    "weights": 1,
    "comparison": 2,
    "distribution": 2,
    "limits": 2,
    "loaders": 2,
    "models": 2,
    "pictures": 2,
    "policy": 2,
    "progress": 2,
    "runfolder": 2,
    "sampling": 2,
    "shards": 2,
    "usage": 2,
    "backbones": 3,
    "class_weights": 3,
    "checkpoint": 3,
    "credit_base": 3,
    "data": 3,
    "inference": 3,
    "ledger": 3,
    "reward": 3,
    "signatures": 3,
    "twohead": 3,
    "credit": 4,
    "estimation": 4,
    "evidence": 4,
    "records": 4,
    "relations": 4,
    "splits": 4,
    "training": 4,
    "warmup": 4,
    "datl": 5,
    "export": 5,
    "l2tl": 5,
    "reloading": 5,
    "report_mistakes": 5,
    "report_weights": 5,
    "batches": 6,
    "convert": 6,
    "workbench": 6,
    "release": 7,
    "trial": 7,
    "joint_training": 8,
    "methods": 9,
    "report": 10,
    "rounds": 10,
    "experiment": 11,
    "cli": 12,
}


def imports(path):
    """Names of the modules of this package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "tf_transfer":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("tf_transfer."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("tf_transfer."):
                    yield alias.name.split(".")[1]


def test_every_module_has_a_rank_and_a_test():
    found = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert found == set(RANKS)
    for name in found:
        assert (PACKAGE.parent / "tests" / f"test_{name}.py").exists(), name


def test_imports_go_down():
    for name, rank in RANKS.items():
        for other in imports(PACKAGE / f"{name}.py"):
            assert RANKS[other] < rank, f"{name} imports {other}"


def test_files_stay_small():
    for path in PACKAGE.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path.name


def test_no_assert_in_the_package():
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text())
        assert not any(isinstance(n, ast.Assert) for n in ast.walk(tree))
