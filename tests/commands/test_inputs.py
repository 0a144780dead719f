from tests import helpers
from tf_transfer.commands import inputs


def test_all_seeds_share_one_copy_of_the_test_images():
    target = helpers.blobs(per_class=20, classes=4, seed=1)
    parts = inputs.split_target(helpers.tiny_experiment(), target, range(2))
    assert parts[0].test is parts[1].test
    assert parts[0].train.fingerprint() != parts[1].train.fingerprint()
