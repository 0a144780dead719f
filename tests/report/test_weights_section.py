import numpy as np
import pytest

from tests import helpers
from tf_transfer.config import L2tl
from tf_transfer.experiment import weights_file
from tf_transfer.report import weights_section


def write(folder, values):
    """Writes the weights of one seed, and reads them again."""
    weights_file.write(folder, helpers.weight_rows(values))
    return weights_file.WeightTable(folder)


def test_shows_the_classes_at_both_ends_with_images(tmp_path):
    found = write(tmp_path, np.linspace(0, 2, 60))
    images = helpers.blobs(per_class=3, classes=60)
    shown = weights_section.estimated(found, images, images.take(range(60)))
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
    shown = weights_section.estimated(found, None, None)
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
    shown = weights_section.estimated(write(tmp_path, values), None, None)
    assert words in shown["meaning"]


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


def test_only_reinforce_has_a_baseline():
    found = learned(
        class_weights=[[1.0, 1.0, 1.0]] * 3, expected_scale=[0.5] * 3
    )
    assert not found["has_baseline"]
    assert "drawn from 0.5 to 0.6" in found["scale"]
    assert "baseline" not in found["rewards"]
