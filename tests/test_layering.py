"""Which subpackage may import which: only those on the floors below it."""

import ast
import graphlib

import pytest

from tests import helpers

PACKAGE = helpers.REPOSITORY / "tf_transfer"
GROUND = [{"errors", "rules"}, {"config"}, {"utils"}]
FLOORS = [
    {"data", "models", "training"},
    {"datl", "l2tl", "co_tuning", "export"},
    {"experiment"},
    {"report"},
    {"commands"},
]
"""From below. Rooms that share a floor do not import each other."""
SHIM = PACKAGE / "cli.py"
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path not in (PACKAGE / "__init__.py", SHIM)
]
FOLDERS = sorted({path.parent for path in MODULES})


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def name(path):
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module):
    """The subpackage that a module lies in, or the module itself."""
    return module.split(".")[1]


def imports(path):
    """The modules of this package that a file imports, at any depth."""
    modules = {name(each) for each in MODULES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from {full if full in modules else node.module} & modules
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & modules


def test_every_room_has_a_floor():
    rooms = {room(name(path)) for path in MODULES}
    assert rooms == set().union(*GROUND, *FLOORS)
    assert len(FLOORS) == 5


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_down(path):
    below = set()
    for floor in GROUND + FLOORS:
        if room(name(path)) in floor:
            break
        below |= floor
    others = {room(module) for module in imports(path)} - {room(name(path))}
    assert others <= below


def test_there_is_no_circle():
    graph = {name(path): set(imports(path)) for path in MODULES}
    # A package that registers its modules is imported before each of them.
    for path in MODULES:
        graph[name(path)] -= {name(path.parent / "__init__.py")}
    graphlib.TopologicalSorter(graph).prepare()


def test_the_ground_imports_nothing_of_the_package():
    for module in ("errors", "rules"):
        assert not [*imports(PACKAGE / f"{module}.py")]


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_folders_stay_small(folder):
    modules = {p.name for p in folder.glob("*.py")} - {"__init__.py"}
    assert len(modules) <= 12


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_stay_small_and_assert_nothing(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    assert not any(isinstance(n, ast.Assert) for n in ast.walk(ast.parse(text)))


def test_tests_mirror_the_package():
    """Every module has a test of its name, in a folder of its room's name."""
    tests = helpers.REPOSITORY / "tests"
    for path in MODULES:
        if path.name != "__init__.py":
            place = path.relative_to(PACKAGE)
            assert (tests / place.with_name(f"test_{place.name}")).exists()


def test_importing_a_room_imports_none_of_its_modules():
    for folder in FOLDERS:
        init = folder / "__init__.py"
        if folder not in (PACKAGE, PACKAGE / "experiment" / "methods"):
            assert not [*imports(init)], relative(folder)
