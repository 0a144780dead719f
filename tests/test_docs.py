"""What the documents say is true, and their code runs."""

import importlib.util
import inspect
import operator
import os
import re
import shlex
import subprocess
import sys
import types

import keras
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config
from tf_transfer.commands import arguments
from tf_transfer.commands.subcommands import COMMANDS
from tf_transfer.experiment.methods import METHODS

FOLDER = helpers.REPOSITORY / "docs"
PAGES = {path.stem: path.read_text() for path in FOLDER.glob("*.md")}
README = (helpers.REPOSITORY / "README.md").read_text()
PACKAGE = helpers.REPOSITORY / "tf_transfer"
PUBLIC = {name: getattr(tt, name) for name in tt.__all__} | {"config": config}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands():
    for page, text in PAGES.items():
        for block in blocks(text, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("tf-transfer "):
                    yield pytest.param(line, id=f"{page}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line, monkeypatch):
    monkeypatch.chdir(helpers.REPOSITORY)
    words = shlex.split(line)
    assert arguments.parse(words).command.name == words[1]


def test_the_python_guide_begins_with_the_examples_of_the_readme():
    examples = blocks(README, "python")
    assert examples == blocks(PAGES["python"], "python")[: len(examples)]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_names_in_the_code_exist(page):
    for example in blocks(PAGES[page], "python"):
        compile(example, page, "exec")
    for name in re.findall(r"\btt\.(\w+)", PAGES[page]):
        assert name in tt.__all__, name


def test_there_is_one_version():
    citation = (helpers.REPOSITORY / "CITATION.cff").read_text()
    assert f"\nversion: {tt.__version__}\n" in citation


def test_the_reference_holds_every_public_name():
    found = re.findall(r"::: tf_transfer\.([\w.]+)", PAGES["reference"])
    homes = {f"{home}.{name}" for name, home in tt._HOMES.items()}
    inside = {h for h in homes if h.split(".")[0] in ("config", "errors")}
    assert homes - inside <= set(found)
    members = " ".join(re.findall(r"members: \[(.*)\]", PAGES["reference"]))
    for home in inside:
        assert re.search(rf"\b{home.split('.')[-1]}\b", members), home


def test_the_reference_summarises_every_public_name():
    """By the first lines of the docstrings."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", PAGES["reference"], re.M)
    rows = dict(rows)
    assert set(tt.__all__) <= set(rows)
    for name, summary in rows.items():
        item = operator.attrgetter(name)(types.SimpleNamespace(**PUBLIC))
        assert summary == inspect.getdoc(item).splitlines()[0], name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_flag_is_explained(name):
    pages = [*PAGES.values()]
    (section,) = re.findall(
        rf"^## {name}\n(.*?)(?=^## |\Z)", PAGES["commands"], re.M | re.S
    )
    assert blocks(section, "sh")
    assert re.search("^- Reads.*: ", section, re.M)
    assert re.search("^- (Writes|Prints).*: ", section, re.M)
    for flag in COMMANDS[name].flags:
        shown = re.escape("--" + flag).replace("_", "[-_]")
        assert any(re.search(shown, page) for page in pages), flag


def test_citations_agree():
    """The BibTeX entries, and the citation file beside the README."""
    citation = (helpers.REPOSITORY / "CITATION.cff").read_text()
    (bibtex,) = blocks(PAGES["index"], "bibtex")
    entries = re.findall(r"@\w+\{.*?\n\}", bibtex, re.DOTALL)
    fields = [dict(re.findall(r"(\w+) += \{(.*)\}", e)) for e in entries]
    assert [entry["title"] for entry in fields] == re.findall(
        r'title: "(.+)"', citation
    )
    names = re.findall(r"family-names: ([^,]+), given-names: (.+)\}", citation)
    written = " and ".join(entry["author"] for entry in fields[1:])
    expected = [f"{family}, {given}" for family, given in names]
    assert written.split(" and ") == expected
    assert fields[0]["version"] == tt.__version__
    years = [entry["year"] for entry in fields[1:]]
    assert years == re.findall(r"year: (\d+)", citation)


def test_every_method_is_explained():
    for method in METHODS:
        assert f"`{method}` |" in PAGES["comparison"], method


def test_the_messages_that_are_explained_exist():
    """In the source, where a message is split over lines and values."""
    source = " ".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    source = re.sub(r'"\s*f?"', "", source)
    text = PAGES["troubleshooting"].split("## Messages")[1]
    messages = re.findall(r"^\| \*(.+?)\*", text, re.MULTILINE)
    assert len(messages) > 8
    for message in messages:
        for part in re.split(r"\s*\.\.\.,?\s*", message):
            assert part.strip() in source, part


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_the_python_guide_runs(tmp_path, monkeypatch):
    """As written, but for the number of steps."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names = {}
    for example in blocks(PAGES["python"], "python"):
        for pattern, few in (
            (r"steps_per_epoch=\d+", "steps_per_epoch=2"),
            (r"epochs=10", "epochs=2"),
            (r"passes=2\b", "passes=0.1"),
            (r"policy_warmup=40", "policy_warmup=1"),
            (r"\.take\(.*\)(?=,?$)", ".take(2)"),
        ):
            example = re.sub(pattern, few, example, flags=re.MULTILINE)
        exec(compile(example, "python.md", "exec"), names)
    assert names["weights"].updates.numpy() > 0
    assert names["cut"].numpy().max() > 1
    assert names["own_weights"].updates.numpy() > 0
    assert names["estimate"].weights.shape == (335,)
    assert names["resume"].history()["loss"]
    assert (tmp_path / "export" / "1" / "saved_model.pb").exists()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder],
        cwd=helpers.REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_the_site(site, width):
    """Nothing is wider than the window, every picture and equation is drawn.

    No other host is asked for anything.
    """
    equations = (
        "return [...document.querySelectorAll('math')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    missing = (
        "return [...document.images].filter(i => i.offsetParent && "
        "!i.naturalWidth).length"
    )
    heights = {}
    with helpers.browser() as driver:
        driver.set_window_size(width, 900)
        for page in PAGES:
            helpers.show(driver, site / f"{page}.html", width, "light")
            measured = "return document.documentElement.scrollWidth"
            assert driver.execute_script(measured) <= width
            assert driver.execute_script(missing) == 0
            heights[page] = driver.execute_script(equations)
        requests = helpers.requests(driver)
    count = PAGES["how_it_works"].count("$") - PAGES["how_it_works"].count("$$")
    assert len(heights["how_it_works"]) == count / 2
    assert min(heights["how_it_works"]) > 5
    assert max(heights["how_it_works"]) > 40  # the fonts' large operators
    assert any(r.endswith("fonts/noto_sans_math.woff2") for r in requests)
    assert {r.split(":")[0] for r in requests} <= {"file", "data"}


def test_equations_become_mathml():
    """By the words of MathML; the pages hold no other notation of TeX."""
    pytest.importorskip("latex2mathml")
    path = FOLDER / "mathml.py"
    spec = importlib.util.spec_from_file_location("mathml", path)
    mathml = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mathml)
    text = r'a <span class="arithmatex">\(x &lt; P_s\)</span> b'
    assert mathml.on_page_content(text, page=None) == (
        'a <span class="arithmatex">'
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">'
        "<mrow><mi>x</mi><mo>&#x0003C;</mo>"
        "<msub><mi>P</mi><mi>s</mi></msub></mrow></math></span> b"
    )
    for page, content in PAGES.items():
        for one, other in re.findall(
            r"\$\$(.+?)\$\$|(?<!\$)\$([^$\n]+)\$(?!\$)", content, re.S
        ):
            block = f'<div class="arithmatex">\\[{one or other}\\]</div>'
            drawn = mathml.on_page_content(block)
            assert "\\" not in drawn, (page, one or other)
