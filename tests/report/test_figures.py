import numpy as np

from tests import helpers
from tf_transfer.report import figures

RESULTS = [
    helpers.result(method, seed, history={"finetuning": {"loss": [2.0, 1.0]}})
    for method in ("finetune", "datl")
    for seed in range(2)
]


def test_draws_weights_images_and_curves(tmp_path):
    from PIL import Image

    images = helpers.blobs(per_class=3, classes=60)
    rows = helpers.weight_rows(np.linspace(0, 2, 60))
    figures.write_weights(tmp_path, rows, images, images.take(range(60)))
    figures.write_curves(tmp_path, RESULTS)
    for name in ("weights", "side_by_side", "learning_curves"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 600
            assert np.asarray(picture).std() > 5


def test_few_classes_are_shown_once(tmp_path):
    images = helpers.blobs()
    path = tmp_path / "side_by_side.png"
    for count in (1, 3):  # one class has the largest weight alone
        rows = helpers.weight_rows(np.linspace(0, 2, count))
        figures.plot_side_by_side(path, rows, images, images)
        assert path.stat().st_size > 1000
        path.unlink()


def test_long_class_names_leave_room_for_the_bars(tmp_path):
    rows = helpers.weight_rows([1.0, 2.0])
    rows[0]["class"] = "a name that is far too long " * 6
    figures.plot_weights(tmp_path / "weights.png", rows)
    assert (tmp_path / "weights.png").stat().st_size > 1000


def test_learned_weights_are_drawn(tmp_path):
    images = helpers.blobs()
    rows = [
        {
            "seed": 0,
            "class_id": c,
            "class": name,
            "weight": 1.0,
            "source_prior": 0.25,
            "target_prior": 0.25,
            "target_prior_low": 0.2,
            "target_prior_high": 0.3,
            "l2tl_weight": c / 2,
        }
        for c, name in enumerate(images.class_names)
    ]
    figures.write_weights(tmp_path, rows, images, images)
    assert (tmp_path / "l2tl_weights.png").stat().st_size > 1000


def test_curves_show_the_stages_there_were(tmp_path):
    figures.write_curves(tmp_path, [helpers.result("l2tl", history={})])
    assert not (tmp_path / "learning_curves.png").exists()
    joint = {"joint": {"loss": [1.0]}, "learning": {"loss": [2.0]}}
    figures.write_curves(tmp_path, [helpers.result("l2tl", history=joint)])
    assert (tmp_path / "learning_curves.png").stat().st_size > 1000
