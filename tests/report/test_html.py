import dataclasses
import itertools
import json
import warnings

import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.commands import main
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.results import Predictions
from tf_transfer.experiment.records.run_folder import predictions_name
from tf_transfer.report import html, mistakes_section
from tf_transfer.utils.storage.folders import Folder

STRANGE = [
    "<b>bold</b>",
    "\"double\" & 'single'",
    "$x$ {{ y }}",
    "a name that is by far too long for any box " * 3,
    "\u2192 \u00e4\u00f6\u00fc",
    "</script><script>alert(1)</script>",
    "f",
    "\u975e\u5e38\u306b\u9577\u3044\u540d\u524d" * 6,
]
METHODS = ("finetune", "datl", "l2tl")


def result(method, seed):
    """An entry of `results.json`, of a run that was made up."""
    accuracy = {"finetune": 0.8, "datl": 0.9, "l2tl": 0.85}.get(method, 0.8)
    history = {"finetuning": {"loss": [2.0, 1.0]}}
    if method == "l2tl":
        history["learning"] = {
            "loss": [2.0, 1.0],
            "scale": [0.5, 0.6],
            "reward": [0.1, 0.2],
            "expected_scale": [0.5, 0.5, 0.6],
            "class_weights": [[1.0] * 8, [1.0] * 8, [0.5, 1.5] * 4],
        }
    return helpers.result(
        method, seed, accuracy + 0.01 * seed, history=history
    ).to_json()


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run that was made up."""
    config = helpers.tiny_experiment(methods=METHODS, seeds=2)
    files = {
        "config.json": dataclasses.asdict(config) | {"fingerprints": {}},
        "results.json": [result(m, s) for m in METHODS for s in range(2)],
        "data.json": {
            "source": None,
            "target": None,
            "class_names": STRANGE,
            "image_shape": [8, 8, 1],
            "frame": None,
        },
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    table = helpers.weight_table(
        np.linspace(0, 2, len(STRANGE)), learned=["l2tl"]
    )
    table = dataclasses.replace(table, class_names=STRANGE)
    table.write_csv(Folder(tmp_path))
    predictions = Predictions.of(np.eye(3), np.array([0, 1, 1]))
    (tmp_path / "predictions").mkdir()
    for method, seed in itertools.product(METHODS, range(2)):
        predictions.write(tmp_path / predictions_name(method, seed))
    return tmp_path


def test_the_report_shows_the_verdict(run):
    page = html.write(run).read_text()
    assert "By the validation images datl is the choice." in page
    assert "seed 0, misclassifies 1 of 3 test images (33.3&nbsp;%)" in page
    assert "datl, seed 0" in page
    assert "1 of 2" in page
    assert "90.5 \u00b1 6.4" in page
    assert "data:image" not in page
    assert not list(run.glob("partial-*"))


def test_names_are_shown_as_they_are(run):
    page = html.write(run).read_text()
    assert "<b>bold" not in page
    assert "<script" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "$x$ {{ y }}" in page
    assert "arrays \u2192 arrays" in page


def test_the_report_shows_what_is_odd_about_the_data(run):
    assert "<h2>The data</h2>" not in html.write(run).read_text()
    counts = dict.fromkeys(STRANGE, 7)
    content = {
        "source": {"a": 1234},
        "target": counts | {"f": 2},
        "test": counts,
        "blank": 3,
        "compared": 40,
        **{"in_source": 0, "in_target": 0, "other_label": 0},
    }
    (run / "data_check.json").write_text(json.dumps(content))
    page = html.write(run).read_text()
    assert "fewer than 5 images: 1 of 8 (&#39;f&#39; has 2)</li>" in page
    assert "<li>images of one colour: 3</li>" in page
    assert "1 source classes with 1,234 images" in page
    row = '<td>f</td><td class="number">2</td><td class="number">7</td>'
    assert row in page
    assert "<b>bold" not in page
    (run / "data_check.json").write_text('{"source": 1}')
    with pytest.raises(InputError, match=r"`data_check.source` must be"):
        html.write(run)


def test_the_report_asks_for_a_look_at_the_classes_and_says_why_to_doubt(run):
    page = html.write(run).read_text()
    assert "do they resemble the target?" in page
    assert "no better than chance" not in page
    content = {
        **{"passes": 1, "ess": 0.5, "source_accuracy": 0.9, "labels": 5},
        **{"images_per_parameter": 1, "neighbours": 0.35, "chance": 0.33},
    }
    (run / "forecast.json").write_text(json.dumps(content))
    page = html.write(run).read_text()
    assert "order of the classes may be no better than chance" in page
    assert "35% of the labelled" in page
    (run / "forecast.json").write_text(json.dumps(content | {"neighbours": 1}))
    assert "no better than chance" not in html.write(run).read_text()


def test_few_losses_are_a_table_and_more_are_a_curve(run):
    page = html.write(run).read_text()
    assert '<td>finetune, datl, l2tl</td><td class="number">2.000</td>' in page
    assert "Training loss, Training on the target" not in page
    results = json.loads((run / "results.json").read_text())
    for each in results:
        each["history"]["finetuning"]["loss"] = [3.0, 2.0, 1.0]
    (run / "results.json").write_text(json.dumps(results))
    page = html.write(run).read_text()
    assert "Training loss, Training on the target" in page
    assert "<span>finetune, datl, l2tl</span>" in page


def test_the_columns_of_a_matrix_have_numbers_where_names_are_long(run):
    page = html.write(run).read_text()
    assert '<span class="place">2</span> <bdi>&#34;double&#34;' in page
    data = json.loads((run / "data.json").read_text())
    data["class_names"] = [f"class {c}" for c in range(8)]
    (run / "data.json").write_text(json.dumps(data))
    page = html.write(run).read_text()
    assert 'class="turned"><span>class 1</span>' in page
    assert 'class="place">' not in page


def test_no_control_characters_reach_the_page(run):
    path = run / "results.json"
    results = json.loads(path.read_text())
    for result in results:
        result["machine"] = "\x1b[31m\u202ered\r\nline\x9b0m"
    path.write_text(json.dumps(results))
    page = html.write(run).read_text()
    assert r"\x1b[31m\u202ered\r\nline\x9b0m" in page
    assert not {"\x1b", "\u202e", "\r", "\x9b"} & set(page)


def test_one_seed_and_no_fine_tuning_need_no_interval(run):
    config = json.loads((run / "config.json").read_text())
    config |= {"methods": ["scratch"], "seeds": 1}
    (run / "config.json").write_text(json.dumps(config))
    (run / "results.json").write_text(json.dumps([result("scratch", 0)]))
    (run / "weights.csv").unlink()
    predictions = run / predictions_name("finetune", 0)
    predictions.rename(run / predictions_name("scratch", 0))
    page = html.write(run).read_text()
    assert "several seeds" in page
    assert "none of the methods uses the source" in page
    assert "There are no gains to draw" in page


def test_without_its_data_the_report_is_written_anew_without_images(
    run, capsys
):
    first = html.write(run).read_text()
    assert html.rewrite(run).read_text() == first
    assert capsys.readouterr().err.count("Warning: No images of the ") == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no run of `compare`"),
        ("config.json", "{}", "`config.methods` must be a list of strings"),
        ("results.json", "[]", "is not finished"),
        ("data.json", None, "is not finished"),
        ("weights.csv", "", "cannot be read"),
        ("data.json", '{"source": 3}', "`data.image_shape` must be"),
        ("data.json", "{", "cannot be read"),
        ("predictions/datl-0.npz", "", "cannot be read"),
        ("predictions/datl-0.npz", None, "cannot be read"),
    ],
)
def test_refuses_a_damaged_run_and_leaves_the_report(
    run, name, content, message
):
    before = html.write(run).read_text()
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises(InputError, match=rf"{message}.*Received: "):
        html.write(run)
    assert (run / "report.html").read_text() == before


def test_a_fault_of_our_own_ends_in_a_traceback(run, monkeypatch):
    def faulty(*arguments):
        return arguments[0].no_such_attribute

    monkeypatch.setattr(mistakes_section, "section", faulty)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(AttributeError, match="no_such_attribute"):
        main.run(["tf-transfer", "report", f"--run={run}"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a whole tiny run, on data with strange names."""
    folder = tmp_path_factory.mktemp("whole")
    for name, classes, seed in (("source", 8, 0), ("target", 4, 1)):
        data = helpers.blobs(per_class=20, classes=classes, seed=seed)
        np.savez(
            folder / f"{name}.npz",
            x_train=data.images,
            y_train=data.labels,
            class_names=np.array(STRANGE[:classes]),
        )
    tiny = helpers.tiny_experiment()
    config = dataclasses.replace(
        tiny,
        methods=METHODS,
        seeds=2,
        data=dataclasses.replace(
            tiny.data,
            source=f"npz:{folder}/source.npz",
            target=f"npz:{folder}/target.npz",
        ),
        l2tl=config_lib.L2tl(steps=4, policy_warmup=1, credit="reinforce"),
    )
    tt.compare(config, folder / "run", quiet=True)
    return folder / "run"


@pytest.mark.slow
def test_a_run_and_its_folder_give_the_same_report(whole):
    first = (whole / "report.html").read_text()
    for part in ("Examples of the source", "Examples of the target"):
        assert part in first
    assert "Reward and baseline" in first
    assert html.rewrite(whole).read_text() == first


PROBE = """
const all = (query) => [...document.querySelectorAll(query)];
const charts = all("figure svg:not([aria-hidden])");
const style = getComputedStyle(document.body);
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
  return (r + g + b) / 3;
};
return {
  width: document.documentElement.scrollWidth,
  paper: light(style.backgroundColor),
  ink: light(style.color),
  images: all("img").length,
  broken: all("img").filter((i) => !i.naturalWidth).length,
  mute: all("img:not([alt]), img[alt='']").length
    + charts.filter((s) => !s.getAttribute("aria-label")).length,
  charts: charts.length,
  cut: all("body *").filter((e) => e.scrollWidth > e.clientWidth
    && getComputedStyle(e).overflowX == "hidden").length,
  outside: all("svg text").filter((t) => {
    const [box, svg] = [t.getBBox(), t.ownerSVGElement.viewBox.baseVal];
    return box.x < 0 || box.x + box.width > svg.width
      || box.y < 0 || box.y + box.height > svg.height;
  }).map((t) => t.textContent),
  bare: all("figure").filter((f) => !f.querySelector("figcaption")).length,
  bold: all("b").filter((b) => b.textContent == "bold").length,
  text: document.body.innerText,
};
"""


@pytest.mark.slow
def test_a_browser_shows_the_report(whole):
    path = whole / "report.html"
    with helpers.browser() as driver:
        probes = {}
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                helpers.show(driver, path, width, scheme)
                opened = "document.querySelectorAll('details')"
                driver.execute_script(f"{opened}.forEach(d => d.open = true)")
                probe = probes[width, scheme] = driver.execute_script(PROBE)
                assert probe["width"] <= width, probe["width"]
                assert probe["cut"] == 0
                assert probe["outside"] == []
        console = driver.get_log("browser")
        requests = helpers.requests(driver)
    assert console == []
    assert requests == {path.as_uri(), "data:image/png;base64"}
    assert probe["images"] > 10
    assert probe["charts"] == 5
    for name in ("broken", "mute", "bare", "bold"):
        assert probe[name] == 0, name
    assert STRANGE[0] in probe["text"]
    light, dark = probes[390, "light"], probes[390, "dark"]
    assert light["paper"] > 200 > 100 > light["ink"]
    assert dark["paper"] < 60 < 150 < dark["ink"]


@pytest.mark.slow
def test_on_paper_the_report_is_light_and_nothing_needs_scrolling(whole):
    """At the width of A4, with the screen set to dark."""
    with helpers.browser() as driver:
        helpers.show(driver, whole / "report.html", 720, "dark")
        scheme = {"name": "prefers-color-scheme", "value": "dark"}
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": "print", "features": [scheme]},
        )
        probe = driver.execute_script(PROBE)
    assert probe["paper"] > 200 > 100 > probe["ink"]
    assert probe["width"] <= 720
    assert probe["cut"] == 0
    assert "pretraining.learning_rate" in probe["text"]  # of a closed part
