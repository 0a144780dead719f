import os

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import source_clusters


def experiment(cache, clusters=4, **changes):
    data = config_lib.Data(
        source_labels="clusters", clusters=clusters, cache=str(cache)
    )
    return config_lib.Experiment(data=data, **changes)


def files(cache):
    return sorted((cache / "clusters-v1").iterdir())


def test_clusters_are_found_once_and_kept(tmp_path, monkeypatch):
    data, config = helpers.blobs(per_class=40), experiment(tmp_path)
    first = source_clusters.clustered(data, config)
    assert first.num_classes == 4
    (file,) = files(tmp_path)
    monkeypatch.setattr(source_clusters.clusters, "Clusters", None)
    again = source_clusters.clustered(data, config)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert again.fingerprint() == first.fingerprint()
    assert files(tmp_path) == [file]


def test_other_images_numbers_and_encoders_have_other_clusters(tmp_path):
    data = helpers.blobs(per_class=40)
    source_clusters.clustered(data, experiment(tmp_path))
    source_clusters.clustered(data, experiment(tmp_path, clusters=5))
    source_clusters.clustered(helpers.blobs(seed=3), experiment(tmp_path))
    from tf_transfer.models.small_encoders import small_encoder

    weights = tmp_path / "encoder.weights.h5"
    small_encoder((8, 8, 1), 4, "flat").save_weights(weights)
    encoder = config_lib.Encoder(width=4, form="flat", weights=str(weights))
    source_clusters.clustered(data, experiment(tmp_path, encoder=encoder))
    assert len(files(tmp_path)) == 4


@pytest.mark.parametrize("damage", ["cut", "other", "large", "link"])
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    data, config = helpers.blobs(per_class=40), experiment(tmp_path)
    first = source_clusters.clustered(data, config)
    (file,) = files(tmp_path)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:40])
    elif damage == "other":
        np.savez(file, labels=np.zeros(3, np.int32))
    elif damage == "large":
        np.savez(file, labels=np.full(len(data.labels), 9, np.int32))
    else:
        os.rename(file, tmp_path / "away")
        file.symlink_to(tmp_path / "nowhere")
    again = source_clusters.clustered(data, config)
    np.testing.assert_array_equal(again.labels, first.labels)


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "clusters-v1").write_text("in the way")
    with pytest.raises(InputError, match="cannot be kept"):
        source_clusters.clustered(helpers.blobs(), experiment(tmp_path))


def test_few_images_make_fewer_clusters(tmp_path):
    data = helpers.blobs(per_class=2)
    found = source_clusters.clustered(data, experiment(tmp_path, clusters=100))
    assert found.num_classes == 4
