import numpy as np
import pytest

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
def test_tfds_loads_a_prepared_set_offline(monkeypatch, tmp_path, kind):
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Squares(tfds.core.GeneratorBasedBuilder):
            """Two classes, prepared without a network."""

            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = tmp_path

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(4, 4, 1)),
                    "label": tfds.features.ClassLabel(names=["a", "b"]),
                }
                return self.dataset_info_from_configs(
                    features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, manager):
                return {
                    "test": self._generate_examples(2),
                    "train": self._generate_examples(3),
                }

            def _generate_examples(self, count):
                for i in range(count):
                    image = np.full((4, 4, 1), 10 * i, np.uint8)
                    yield i, {"image": image, "label": i % 2}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    squares = Squares(data_dir=str(tmp_path), file_format=kind)
    squares.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda name: squares)
    raw = loaders.load("tfds:little_squares")
    assert raw.images[0].shape == (4, 4, 1)
    assert raw.class_names == ["a", "b"]
    assert len(raw.labels) == 5
    assert raw.test.tolist() == [3, 4]
    # Preparing shuffles the examples, but each keeps its label.
    values = [image[0, 0, 0] for image in raw.images]
    assert sorted(values[:3]) == [0, 10, 20]
    assert sorted(values[3:]) == [0, 10]
    np.testing.assert_array_equal(raw.labels, np.array(values) // 10 % 2)
    assert raw.files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "not prepared on this machine"),
        ("no_such_set_at_all", "has no such data set"),
    ],
)
def test_tfds_refuses_at_once(monkeypatch, tmp_path, name, message):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=message):
        loaders.load(f"tfds:{name}")


@pytest.mark.parametrize("name", ["huggingface:a", "ns:mnist", "a b", ""])
def test_no_name_asks_a_server(name, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", None)
    with pytest.raises(InputError, match="Received: "):
        loaders.load(f"tfds:{name}")
