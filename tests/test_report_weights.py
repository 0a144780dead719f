import csv

import conftest
import numpy as np
import pytest

from tf_transfer import diagnostics, report_weights
from tf_transfer.errors import InputError


def write(folder, *seeds, **columns):
    """Writes `weights.csv` from the weights of every seed."""
    rows = []
    for seed, values in enumerate(seeds):
        for row in conftest.weight_rows(values):
            more = {name: c[row["class_id"]] for name, c in columns.items()}
            rows.append(row | {"seed": seed} | more)
    with open(folder / "weights.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return report_weights.ClassWeights(folder)


def test_weights_are_means_over_seeds(tmp_path):
    found = write(tmp_path, [0.0, 2.0], [1.0, 1.0])
    assert found.names == ["class 0", "class 1"]
    np.testing.assert_allclose(found.mean("weight"), [0.5, 1.5])
    sizes = [
        diagnostics.effective_sample_size(w, np.full(2, 0.5))
        for w in ([0, 2], [1, 1])
    ]
    assert found.sample_size("weight") == pytest.approx(np.mean(sizes))
    # Half and one and a half of the weight, of each seed.
    np.testing.assert_allclose(found.reach(1), (0.75, 2.25))
    np.testing.assert_allclose(found.reach(0), (0.25, 0.75))


def test_shows_the_classes_at_both_ends_with_images(tmp_path):
    found = write(tmp_path, np.linspace(0, 2, 60))
    images = conftest.blobs(per_class=3, classes=60)
    shown = report_weights.estimated(found, images, images.take(range(60)))
    assert [row["name"] for row in shown["top"][:2]] == ["class 59", "class 58"]
    assert shown["bottom"][-1]["name"] == "class 0"
    assert shown["top"][0]["to"] == pytest.approx(100)
    assert shown["top"][0]["share"] == pytest.approx(100 / 1.5)
    examples = shown["top"][0]["images"]
    assert examples["uri"].startswith("data:image/png")
    assert examples["share"] == 50  # three of six
    assert (shown["count"], shown["of"]) == (60, 180)
    assert len(shown["target"]["classes"]) + shown["target"]["more"] == 60
    assert 'aria-label="Weights of all 60 source classes' in shown["sorted"]


def test_few_classes_are_shown_once_and_without_images_if_there_are_none(
    tmp_path,
):
    found = write(tmp_path, [1.0, 0.5, 1.5])
    shown = report_weights.estimated(found, None, None)
    assert len(shown["top"]) == 3
    assert shown["bottom"] == []
    assert shown["target"] is None
    assert shown["top"][0]["images"] is None
    assert shown["learned_size"] is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([20.0] + [0.0] * 19, "That is little"),
        ([1.0, 1.0], "nearly equal"),
        ([2.0, 1.0, 1.0, 0.0], "rests on few classes"),
    ],
)
def test_says_what_the_sample_size_means(tmp_path, values, words):
    shown = report_weights.estimated(write(tmp_path, values), None, None)
    assert words in shown["meaning"]


@pytest.mark.parametrize(
    "content", [None, "", "seed,class\n", "seed,class,weight\n0,a,x\n"]
)
def test_refuses_a_damaged_file(tmp_path, content):
    if content is not None:
        (tmp_path / "weights.csv").write_text(content)
    with pytest.raises(InputError, match=r"cannot be read\. Received: "):
        report_weights.ClassWeights(tmp_path)


SETTINGS = {
    "l2tl": {
        "steps": 20,
        "credit": "reinforce",
        "reward": "negative_loss",
        "improvement": False,
    }
}
LOGS = {
    "loss": [2.0, 1.0],
    "scale": [0.5, 0.6],
    "reward": [-2.0, -1.0],
}


def learned(**more):
    results = [{"history": {"learning": LOGS | more}}] * 2
    return report_weights.learned(results, SETTINGS, ["a", "b", "c"])


def test_shows_what_moved_while_l2tl_learned():
    found = learned(
        class_weights=[[1.0, 1.0, 1.0], [0.5, 1.2, 1.3], [0.0, 1.0, 2.0]],
        expected_scale=[0.5, 0.6, 0.7],
        baseline=[-2.0, -1.8],
    )
    assert found["largest_change"] == pytest.approx(1)
    assert found["change"] == pytest.approx(2 / 3)
    assert "c from 1.00 to 2.00, a from 1.00 to 0.00" in found["weights"]
    assert "source-loss scale, expected from 0.5 to 0.7" in found["scale"]
    assert "baseline from -2 to -1.8" in found["rewards"]
    assert found["has_baseline"]
    assert found["reward"] == "negative loss"


def test_an_older_run_shows_what_it_kept():
    found = learned()
    assert found["weights"] is None
    assert "drawn from 0.5 to 0.6" in found["scale"]
    assert not found["has_baseline"]
    assert report_weights.learned([{"history": {}}], SETTINGS, None) is None
    assert report_weights.learned([], SETTINGS, None) is None
