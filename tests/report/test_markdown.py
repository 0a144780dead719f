import dataclasses
import json
import shlex

import numpy as np
import pytest

from configs import glyphs_to_digits
from tests import helpers
from tf_transfer.commands import arguments
from tf_transfer.errors import InputError
from tf_transfer.report import figures, markdown

# Gains of .0233 and -.0167, +- .0143 (Student's t of 2 degrees: 4.3027).
ACCURACY = {
    "finetune": (0.80, 0.90, 0.85),
    "finetune_related": (0.81, 0.92, 0.87),
    "datl": (0.83, 0.94, 0.90),
    "l2tl": (0.80, 0.90, 0.85),
}
AREA = {"datl": (0.90, 0.95, 0.97), "l2tl": (0.8, 0.9, 0.85)}


def results_of(accuracies=ACCURACY, areas=AREA):
    """Entries of `results.json`."""
    return [
        helpers.result(
            method,
            seed,
            accuracy,
            seconds=60.0 * (1 + seed),
            weight_area=areas[method][seed] if method in areas else None,
        ).to_json()
        for method, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def run(folder, results=None, **settings):
    """Writes what a run leaves for the document."""
    folder.mkdir(parents=True, exist_ok=True)
    results = results_of() if results is None else results
    data = {
        "source": "npz:/far/mnist.npz+glyphs",
        "target": "npz:mine.npz",
        "labels_per_class": 10,
        "validation_per_class": 3,
    }
    config = {
        "data": data,
        "methods": list(dict.fromkeys(r["method"] for r in results)),
        "seeds": len({r["seed"] for r in results}),
    } | settings
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_every_figure_is_as_by_hand(tmp_path):
    text = markdown.document([run(tmp_path / "to_digits")], "runs/gains.png")
    head, *lines = text.splitlines()
    assert head == "# Results"
    start = lines.index(
        "![Gains over the baseline; the chosen method in red](runs/gains.png)"
    )
    assert lines[start:] == [
        "![Gains over the baseline; the chosen method in red](runs/gains.png)",
        "",
        "| experiment | baseline | chosen | gain | error |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| to digits | 86.7 +- 13.7 | datl | +2.3 +- 1.4 | -17 % |",
        "",
        "## To digits",
        "",
        "mnist + glyphs -> mine, 10 labelled target images per class (3 of "
        "them for validation), 3 seeds; 0.4 hours of training on 2 cores, "
        "x86_64. `tf-transfer compare "
        "--config.data.source=npz:/far/mnist.npz+glyphs "
        "--config.data.target=npz:mine.npz --config.data.image_size=12 "
        "--config.data.channels=1 --config.data.augment=none "
        "--config.data.labels_per_class=10 "
        "--config.data.validation_per_class=3 --config.data.test_share=0.5 "
        "--config.encoder.form=flat "
        "--config.generalist.steps=300 --config.generalist.batch_size=64 "
        "--config.generalist.learning_rate=0.05 --config.optimizer=sgd "
        "--config.pretraining.steps=300 --config.pretraining.batch_size=64 "
        "--config.pretraining.learning_rate=0.05 "
        "--config.finetuning.steps=80 --config.finetuning.batch_size=32 "
        "'--config.finetuning.learning_rates=(0.02,0.05)' "
        '\'--config.methods=("finetune",'
        '"finetune_related","datl","l2tl")\' --config.seeds=3`',
        "",
        "| method | accuracy | gain over finetune_related | "
        "gain over finetune | ROC AUC | min |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| finetune | 85.0 +- 12.4 | -1.7 +- 1.4 | - | - | 2.0 |",
        "| finetune_related | 86.7 +- 13.7 | - | +1.7 +- 1.4 | - | 2.0 |",
        "| datl (chosen) | 89.0 +- 13.8 | +2.3 +- 1.4 | +4.0 +- 2.5 | 0.940 "
        "| 2.0 |",
        "| l2tl | 85.0 +- 12.4 | -1.7 +- 1.4 | +0.0 +- 0.0 | 0.850 | 2.0 |",
        "",
        "- datl gains 2.3 +- 1.4 points over finetune_related here.",
        "- l2tl loses 1.7 +- 1.4 points against finetune_related here.",
        "- By the validation images datl is the choice.",
    ]


def test_what_is_added_over_all_experiments_by_hand(tmp_path):
    runs = [
        run(
            tmp_path / name,
            results_of(
                {
                    "finetune": (0.5, 0.5),
                    "datl": (0.7, 0.8),
                    "datl_reversed": (0.7 - gain, 0.8 - gain),
                },
                {},
            ),
        )
        for name, gain in (("one", 0.01), ("two", 0.03))
    ]
    text = markdown.document(runs, "")
    half = 12.7062 * 0.01  # of two values .02 apart
    assert f"| datl | datl_reversed | 2 | +2.0 +- {100 * half:.1f} |" in text
    assert "| datl | finetune" not in text  # no experiment has both
    assert "## Over all" not in markdown.document(runs[:1], "")


def test_it_begins_with_what_to_conclude(tmp_path):
    """Gains of .0233 and -.0167, +- .0143, and of half of that."""
    half = {
        m: [
            (a + b) / 2
            for a, b in zip(v, ACCURACY["finetune_related"], strict=True)
        ]
        for m, v in ACCURACY.items()
    }
    runs = [
        run(tmp_path / "whole"),
        run(tmp_path / "half", results_of(half)),
    ]
    lines = markdown.document(runs, "gains.png").splitlines()
    assert lines[2] == (
        "- `datl` is significantly better than its baseline in 2 of 2 "
        "experiments, and worse in 0. The mean gain is +1.7 +- 7.4 points. The "
        "largest is +2.3 +- 1.4 (whole)."
    )
    assert lines[3].startswith(
        "- `l2tl` is significantly better than its baseline in 0 of 2 "
        "experiments, and worse in 2. The mean gain is -1.3"
    )
    (line,) = [
        line
        for line in markdown.document(runs[:1], "gains.png").splitlines()
        if line.startswith("- `datl`")
    ]
    assert line == (
        "- `datl` is significantly better than its baseline in 1 of 1 "
        "experiment, and worse in 0. The largest is +2.3 +- 1.4 (whole)."
    )


def test_columns_without_figures_are_left_out(tmp_path):
    results = results_of({"finetune": (0.8, 0.9), "datl": (0.8, 0.9)}, {})
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| method | accuracy | gain over finetune | min |" in text
    assert "area |" not in text


def test_one_seed_has_no_intervals(tmp_path):
    results = results_of({"finetune": (0.8,), "datl": (0.9,)}, {})
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| run | 80.0 | datl | +10.0 | -50 % |" in text
    assert "| datl (chosen) | 90.0 | +10.0 | 1.0 |" in text
    assert ", 1 seed; 2 min of training" in text
    assert text.endswith("| 1.0 |\n\n")


def test_without_fine_tuning_there_is_no_gain(tmp_path):
    results = results_of({"scratch": (0.7, 0.7), "datl": (0.9, 0.9)}, {})
    folder = run(tmp_path / "run", results)
    assert "| run | - | datl | - | - |" in markdown.document([folder], "")
    markdown.plot_gains(tmp_path / "gains.png", [folder])


def test_no_errors_have_no_relative_change(tmp_path):
    results = results_of({"finetune": (1.0,), "datl": (1.0,)}, {})
    results[1]["validation"]["loss"] = 0.5
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| run | 100.0 | datl | +0.0 | - |" in text


def test_fine_tuning_itself_may_be_chosen(tmp_path):
    results = results_of({"finetune": (0.9, 0.9), "datl": (0.8, 0.7)}, {})
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| run | 90.0 +- 0.0 | finetune | 0 | 0 % |" in text


def test_the_chosen_method_is_marked(tmp_path):
    results = results_of(
        {"finetune": (0.8, 0.8), "datl": (0.7, 0.7), "l2tl": (0.9, 0.9)}, {}
    )
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| l2tl (chosen) |" in text
    assert text.count("(chosen)") == 1


def test_gains_are_of_the_test_images(tmp_path):
    results = results_of()
    for result in results:
        result["validation"]["accuracy"] = 0.5
    text = markdown.document([run(tmp_path / "run", results)], "")
    assert "| datl | 89.0 +- 13.8 | +2.3 +- 1.4 | +4.0 +- 2.5 |" in text


def test_mentions_an_unfinished_run(tmp_path):
    folder = run(tmp_path / "run", results_of()[:-1], seeds=4)
    assert "3 seeds (not finished: 11 of 16 results);" in markdown.document(
        [folder], ""
    )
    folder = run(tmp_path / "run", methods=[*ACCURACY, "joint"])
    assert "(not finished: 12 of 15 results);" in markdown.document(
        [folder], ""
    )


def test_names_the_command_that_gives_the_run(tmp_path, monkeypatch):
    experiment = glyphs_to_digits.get_config()
    experiment.methods, experiment.seeds = tuple(ACCURACY), 3
    experiment.data.source = "folder:my photos"
    folder = run(tmp_path / "mine", **dataclasses.asdict(experiment))
    (line,) = (
        line
        for line in markdown.document([folder], "").splitlines()
        if "`tf-transfer compare" in line
    )
    words = shlex.split(line.split("`")[1])
    assert words[:2] == ["tf-transfer", "compare"]
    assert arguments.parse(words).flags.config == experiment


def test_no_config_file_is_run(tmp_path, monkeypatch):
    folder = run(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text("raise SystemExit(0)")
    assert "## Mine" in markdown.document([folder], "")


def test_text_of_others_is_no_markdown(tmp_path):
    results = results_of()
    for result in results:
        result["machine"] = "x\n\n# Forged\n<img src=x onerror=alert(1)> `a`"
    text = markdown.document([run(tmp_path / "a|b [x](y)", results)], "")
    assert "\n# Forged" not in text
    assert "<img" not in text
    assert r"x\\n\\n# Forged\\n&lt;img src=x onerror=alert(1)&gt; \`a\`" in text
    assert r"## A\|b \[x\](y)" in text


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (None, "arrays"),
        ("digits", "digits"),
        ("tfds:mnist:3.0.1", "mnist:3.0.1"),
        ("folder:photos/of.dogs/", "of.dogs"),
        ("npz:../a.b/c+d.npz+folder:e", "c+d + e"),
    ],
)
def test_names_of_data_sets(tmp_path, name, stem):
    folder = run(tmp_path / "run")
    info = {
        "source": name,
        "target": "digits",
        "class_names": ["a", "b"],
        "image_shape": [8, 8, 1],
        "frame": None,
    }
    (folder / "data.json").write_text(json.dumps(info))
    assert f"\n{stem} -> digits, " in markdown.document([folder], "")


def test_writes_the_document_and_a_plot_that_it_finds(tmp_path):
    from PIL import Image

    results = results_of({"scratch": (0.1, 0.1), "finetune": (0.8, 0.9)}, {})
    folders = [run(tmp_path / "some runs" / n) for n in ("a", "b", "c")]
    folders.append(run(tmp_path / "some runs" / "d $_", results))
    out = tmp_path / "RESULTS.md"
    plot = tmp_path / "some runs" / "gains.png"
    assert markdown.write(folders, out) == [out, plot]
    assert "](some%20runs/gains.png)" in out.read_text()
    for title in ("## A\n", "## B\n", "## C\n", "## D $ \n"):
        assert title in out.read_text()
    with Image.open(plot) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (768, 1440, 3)
    for colour in ((181, 72, 42), (59, 110, 165)):  # chosen, and not
        close = (abs(pixels - colour) < 3).all(axis=-1)
        assert close.sum() > 100
        first, *_, last = close.reshape(2, 384, 3, 480).any((1, 3)).ravel()
        assert first
        assert not last
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "RESULTS.md",
        "some runs",
    ]


def test_the_plot_shows_gains_and_intervals_from_below(tmp_path, monkeypatch):
    plots, new_figure = [], figures.new_figure

    def recorded(*size):
        plots.append(new_figure(*size))
        return plots[-1]

    monkeypatch.setattr(figures, "new_figure", recorded)
    results = results_of(ACCURACY | {"scratch": (0.1, 0.1, 0.1)})
    markdown.plot_gains(tmp_path / "gains.png", [run(tmp_path / "a", results)])
    axes = plots[0].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["l2tl", "datl", "finetune"]
    points = [
        (*point.get_xydata()[0], *np.ptp(bar.get_segments()[0][:, 0:1], axis=0))
        for point, _, (bar,) in axes.containers
    ]
    expected = [
        (x, i, 2 * 1.434) for i, x in enumerate((-1.667, 2.333, -1.667))
    ]
    np.testing.assert_allclose(points, expected, atol=1e-3)


def changed(path, value):
    """The results with one figure of the last replaced."""
    results = results_of()
    owner = results[-1]
    *parents, name = path.split(".")
    for parent in parents:
        owner = owner[parent]
    owner[name] = value
    return json.dumps(results)


def settings(**changes):
    """A run's `config.json` with some changes."""
    return json.dumps({"methods": ["datl"], "seeds": 3, "data": {}} | changes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no run of `compare`"),
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "cannot be read"),
        ("config.json", b"\xff", "cannot be read"),
        ("config.json", "{}", "`config.methods` must be a list of strings"),
        ("config.json", settings(methods=3), "`config.methods` must be"),
        ("config.json", settings(methods=[]), "`config.methods` must be"),
        ("config.json", settings(methods=["joint"]), "no results of the run"),
        ("config.json", '{"methods": ["datl"]}', "`config.seeds` must be"),
        ("config.json", settings(seeds=0), "`config.seeds` must be an integer"),
        ("config.json", settings(data=3), "`config.data` must be an object"),
        ("config.json", settings(data={"align": 3}), "`data.align` must be"),
        ("config.json", settings(data={"x": 3}), "`config.data.x` must be abs"),
        ("config.json", settings(datl=[]), "`config.datl` must be an object"),
        ("config.json", settings(relevant="a"), "`relevant` must be"),
        ("config.json", settings(fingerprints=[]), "`config.fingerprints` mu"),
        ("results.json", None, "no results of the run"),
        ("results.json", "[]", "no results of the run"),
        ("results.json", "{}", "cannot be read"),
        ("results.json", "null", "cannot be read"),
        ("results.json", "3", "cannot be read"),
        ("results.json", "[3]", r"`results\[0\]` must be an object"),
        ("results.json", "[{}]", "must be an object"),
        ("results.json", '[{"method": "datl"}]', "must be an object"),
        ("results.json", changed("method", []), "must be a string"),
        ("results.json", changed("seed", 1), "must have one result"),
        ("results.json", changed("test", {}), "test.accuracy` must be a fini"),
        ("results.json", changed("test", []), "must be an object"),
        ("results.json", changed("test.accuracy", "0.9"), "a finite number"),
        ("results.json", changed("test.accuracy", None), "a finite number"),
        ("results.json", changed("test.accuracy", []), "a finite number"),
        ("results.json", changed("test.accuracy", np.nan), "a finite number"),
        ("results.json", changed("seconds", np.inf), "a finite number"),
        ("results.json", changed("weight_area", np.nan), "a finite number"),
        ("results.json", changed("validation.loss", np.nan), "a finite num"),
        ("results.json", changed("validation.accuracy", np.nan), "a finite"),
        ("results.json", changed("machine", 3), "must be a string"),
        ("data.json", "[]", "cannot be read"),
        ("data.json", '{"source": "a"}', "`data.image_shape` must be three"),
    ],
)
def test_a_damaged_run_is_refused_and_nothing_is_written(
    tmp_path, name, content, message
):
    good, bad = run(tmp_path / "good"), run(tmp_path / "bad")
    (bad / name).unlink(missing_ok=True)
    if isinstance(content, bytes):
        (bad / name).write_bytes(content)
    elif content is not None:
        (bad / name).write_text(content)
    with pytest.raises(InputError, match=rf"{message}.*Received: .*bad"):
        markdown.write([good, bad], tmp_path / "RESULTS.md")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "good"]


def test_refuses_what_is_no_folder_of_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    for name, message in (("absent", "no run"), ("file", "no run")):
        with pytest.raises(InputError, match=rf"{message}.*Received: .*{name}"):
            markdown.write([tmp_path / name], tmp_path / "RESULTS.md")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("out", ["absent/RESULTS.md", "run", ".", "/"])
def test_a_document_that_cannot_be_written_leaves_nothing(
    tmp_path, monkeypatch, out
):
    folder = run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot be written.*Received: "):
        markdown.write([folder], tmp_path.__class__(out))
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert len(list(folder.iterdir())) == 2


def test_a_failing_plot_leaves_the_document_before_it(tmp_path, monkeypatch):
    def full(path, runs):
        path.write_text("some of it")
        raise OSError(28, "No space left on device")

    out = tmp_path / "RESULTS.md"
    out.write_text("before")
    folder = run(tmp_path / "runs" / "one")
    monkeypatch.setattr(markdown, "plot_gains", full)
    with pytest.raises(InputError, match="No space left on device"):
        markdown.write([folder], out)
    assert out.read_text() == "before"
    assert [p.name for p in folder.parent.iterdir()] == ["one"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["RESULTS.md", "runs"]
