import numpy as np

from tests import helpers
from tf_transfer.config import Datl
from tf_transfer.experiment import source_parts
from tf_transfer.experiment.source_parts import SourceParts

SOURCE = helpers.blobs(per_class=30, classes=4)


def test_nothing_is_held_out_unless_it_is_needed():
    parts = SourceParts.of(SOURCE, Datl(), seed=0)
    assert parts.train is SOURCE
    assert parts.compared is None
    for settings in ({"calibrate": True}, {"estimator": "bbse"}):
        parts = SourceParts.of(SOURCE, Datl(**settings), seed=0)
        assert len(parts.train.labels) + len(parts.held_out.labels) == 120
        ((images, labels),) = parts.compared
        assert len(images) == len(labels) == len(parts.held_out.labels)


def test_lift_compares_with_some_training_images(monkeypatch):
    monkeypatch.setattr(source_parts, "_COMPARED", 50)
    sizes = []
    for seed in (0, 0, 1):
        parts = SourceParts.of(SOURCE, Datl(estimator="lift"), seed)
        assert parts.train is SOURCE
        ((images, _),) = parts.compared
        sizes.append(images.numpy())
    assert len(sizes[0]) == 50
    np.testing.assert_array_equal(sizes[0], sizes[1])
    assert not np.array_equal(sizes[0], sizes[2])


def test_the_sample_holds_at_most_twenty_images_of_every_class():
    for count, expected in ((30, 20), (7, 7)):
        source = helpers.blobs(per_class=count, classes=8)
        parts = SourceParts.of(source, Datl(), seed=0)
        ((_, labels),) = parts.sample
        np.testing.assert_array_equal(np.bincount(labels), [expected] * 8)
