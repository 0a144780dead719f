import dataclasses

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.commands.preparation import inputs
from tf_transfer.errors import InputError


def test_all_seeds_share_one_copy_of_the_test_images():
    target = helpers.blobs(per_class=20, classes=4, seed=1)
    parts = inputs.split_target(helpers.tiny_experiment(), target, range(2))
    assert parts[0].test is parts[1].test
    assert parts[0].train.fingerprint() != parts[1].train.fingerprint()


def test_bbse_refuses_classes_of_one_image_before_anything_is_trained():
    source = helpers.blobs(per_class=20, classes=4)
    target = helpers.blobs(per_class=20, classes=4, seed=1)
    lone = [np.flatnonzero(source.labels == c)[:1] for c in (2, 3)]
    rest = np.flatnonzero(source.labels < 2)
    few = source.take(np.concatenate([rest, *lone]))
    config = helpers.tiny_experiment(datl=config_lib.Datl(estimator="bbse"))
    name = source.class_names[2]
    with pytest.raises(InputError, match=f"one image of '{name}' and 1 more"):
        inputs.load(config, few, target, quiet=True)
    one = dataclasses.replace(config.data, source_per_class=1)
    with pytest.raises(InputError, match="holds out images of every source"):
        inputs.load(
            dataclasses.replace(config, data=one), source, target, quiet=True
        )
    for accepted in (
        dataclasses.replace(config, methods=("scratch",)),
        dataclasses.replace(config, datl=config_lib.Datl(calibrate=True)),
    ):
        inputs.load(accepted, few, target, quiet=True)
    inputs.load(config, source, target, quiet=True)


def test_settings_that_a_budget_makes_wrong_are_refused_before_training():
    config = helpers.tiny_experiment(methods=("l2tl",))
    config.l2tl.steps, config.l2tl.passes = config_lib.L2tl().steps, 0.01
    with pytest.raises(InputError, match=r"`l2tl\.policy_warmup` must"):
        inputs.load(
            config,
            helpers.blobs(per_class=20, classes=8),
            helpers.blobs(per_class=20),
            quiet=True,
        )
    config = helpers.tiny_experiment(methods=("datl",))
    config.pretraining.steps, config.pretraining.passes = 0, 0.3
    config.datl.every = 1
    source = helpers.blobs(per_class=20, classes=8)
    with pytest.raises(InputError, match=r"multiple of 10 with `datl\.every`"):
        inputs.load(config, source, helpers.blobs(per_class=20), quiet=True)
