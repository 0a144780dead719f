import numpy as np
import pytest

from tests import helpers
from tf_transfer.config import L2tl
from tf_transfer.report import weights_section


def test_shows_the_classes_at_both_ends_with_images():
    table = helpers.weight_table(np.linspace(0, 2, 60))
    images = helpers.blobs(per_class=3, classes=60)
    section = weights_section.estimated(table, images, images.take(range(60)))
    assert [row["name"] for row in section["top"][:2]] == [
        "class 59",
        "class 58",
    ]
    assert section["bottom"][-1]["name"] == "class 0"
    assert section["top"][0]["to"] == pytest.approx(100)
    assert section["top"][0]["share"] == pytest.approx(100 / 1.5)
    examples = section["top"][0]["images"]
    assert examples["uri"].startswith("data:image/png")
    assert examples["share"] == 50  # three of six
    assert (section["count"], section["of"]) == (60, 180)
    assert len(section["target"]["classes"]) + section["target"]["more"] == 60
    assert 'aria-label="Weights of all 60 source classes' in section["sorted"]


def test_few_classes_are_shown_once_and_without_images_if_there_are_none():
    table = helpers.weight_table([1.0, 0.5, 1.5])
    section = weights_section.estimated(table, None, None)
    assert len(section["top"]) == 3
    assert section["bottom"] == []
    assert section["target"] is None
    assert section["top"][0]["images"] is None
    assert section["learned_sizes"] == {}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([20.0] + [0.0] * 19, "That is little"),
        ([1.0, 1.0], "nearly equal"),
        ([2.0, 1.0, 1.0, 0.0], "rests on few classes"),
    ],
)
def test_explains_the_sample_size(values, words):
    table = helpers.weight_table(values)
    section = weights_section.estimated(table, None, None)
    assert words in section["meaning"]


SETTINGS = L2tl(steps=20, credit="reinforce", reward="negative_loss")
LOGS = {
    "loss": [2.0, 1.0],
    "scale": [0.5, 0.6],
    "reward": [-2.0, -1.0],
}


def learned(**more):
    history = {"learning": LOGS | more}
    results = [helpers.result("l2tl", seed, history=history) for seed in (0, 1)]
    return weights_section.learned(results, SETTINGS, ["a", "b", "c"])


def test_shows_what_moved_while_l2tl_learned():
    section = learned(
        class_weights=[[1.0, 1.0, 1.0], [0.5, 1.2, 1.3], [0.0, 1.0, 2.0]],
        expected_scale=[0.5, 0.6, 0.7],
        baseline=[-2.0, -1.8],
    )
    assert section["largest_change"] == pytest.approx(1)
    assert section["change"] == pytest.approx(2 / 3)
    assert "c from 1.00 to 2.00, a from 1.00 to 0.00" in section["weights"]
    assert "source-loss scale, expected from 0.5 to 0.7" in section["scale"]
    assert "baseline from -2 to -1.8" in section["rewards"]
    assert section["has_baseline"]
    assert section["reward"] == "negative loss"


def test_only_reinforce_has_a_baseline():
    section = learned(
        class_weights=[[1.0, 1.0, 1.0]] * 3, expected_scale=[0.5] * 3
    )
    assert not section["has_baseline"]
    assert "drawn from 0.5 to 0.6" in section["scale"]
    assert "baseline" not in section["rewards"]
