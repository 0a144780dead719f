import dataclasses

from tf_transfer import config
from tf_transfer.experiment.records import stored_config


def test_differences_names_nested_fields():
    one = dataclasses.asdict(config.Experiment())
    other = dataclasses.asdict(config.Experiment(seeds=2))
    other["data"]["channels"] = 3
    lines = stored_config.differences(one, other)
    assert lines == ["data.channels: 0 and 3", "seeds: 5 and 2"]


def test_fields_missing_in_an_old_configuration_have_defaults():
    old = dataclasses.asdict(config.Experiment(seeds=2))
    old["encoder"] = {"name": "ResNet50"}
    old["fingerprints"] = {"source": "abc"}
    completed = stored_config.completed(old)
    default = dataclasses.asdict(config.Encoder()) | {"form": "flat"}
    assert stored_config.completed({})["data"]["image_size"] == 12
    assert completed["data"]["image_size"] == 0
    assert completed["encoder"] == default | {"name": "ResNet50"}
    assert completed["seeds"] == 2
    assert completed["fingerprints"] == {"source": "abc"}
    assert old["encoder"] == {"name": "ResNet50"}
