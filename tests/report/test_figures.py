import pathlib

import numpy as np

from tests import helpers
from tf_transfer.experiment.methods import METHODS
from tf_transfer.report import charts, figures
from tf_transfer.utils.storage.folders import Folder

RESULTS = [
    helpers.result(method, seed, history={"finetuning": {"loss": [2.0, 1.0]}})
    for method in ("finetune", "datl")
    for seed in range(2)
]


def test_draws_weights_images_and_curves(tmp_path):
    from PIL import Image

    images = helpers.blobs(per_class=3, classes=60)
    table = helpers.weight_table(np.linspace(0, 2, 60))
    figures.write_weights(
        Folder(tmp_path), table, images, images.take(range(60))
    )
    figures.write_curves(Folder(tmp_path), RESULTS)
    for name in ("weights", "side_by_side", "learning_curves"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 600
            assert np.asarray(picture).std() > 5


def test_few_classes_are_shown_once(tmp_path):
    images = helpers.blobs()
    path = tmp_path / "side_by_side.png"
    for count in (1, 3):  # one class has the largest weight alone
        table = helpers.weight_table(np.linspace(0, 2, count))
        figures.plot_side_by_side(path, table, images, images)
        assert path.stat().st_size > 1000
        path.unlink()


def test_long_class_names_leave_room_for_the_bars(tmp_path):
    table = helpers.weight_table([1.0, 2.0])
    table.class_names[0] = "a name that is far too long " * 6
    figures.plot_weights(tmp_path / "weights.png", table)
    assert (tmp_path / "weights.png").stat().st_size > 1000


def test_learned_weights_are_drawn(tmp_path):
    images = helpers.blobs()
    table = helpers.weight_table(np.ones(4))
    table.columns["l2tl_weight"] = np.arange(4)[None] / 2
    figures.write_weights(Folder(tmp_path), table, images, images)
    assert (tmp_path / "l2tl_weights.png").stat().st_size > 1000


def test_every_method_has_a_colour_in_figures_and_in_the_report():
    template = pathlib.Path(figures.__file__).with_name("report.html.jinja")
    style = template.read_text()
    for method in METHODS:
        kind, dash = charts.look(method)
        assert kind in figures.COLOURS
        assert f".series-{kind}" in style
        assert not dash or f"svg .{dash} polyline" in style


def test_curves_show_the_stages_there_were(tmp_path):
    figures.write_curves(Folder(tmp_path), [helpers.result("l2tl", history={})])
    assert not (tmp_path / "learning_curves.png").exists()
    joint = {"joint": {"loss": [1.0]}, "learning": {"loss": [2.0]}}
    figures.write_curves(
        Folder(tmp_path), [helpers.result("l2tl", history=joint)]
    )
    assert (tmp_path / "learning_curves.png").stat().st_size > 1000
