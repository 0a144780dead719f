import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError


@pytest.mark.slow
def test_generalists_of_another_source_are_refused(tmp_path):
    config = helpers.tiny_experiment(methods=("finetune",), seeds=1)
    domains = helpers.domains()
    tt.compare(config, tmp_path / "one", quiet=True, **domains)
    other = domains | {"source": helpers.blobs(seed=7, classes=4)}
    with pytest.raises(InputError, match="its source was another"):
        tt.compare(
            config,
            tmp_path / "two",
            quiet=True,
            generalists=tmp_path / "one",
            **other,
        )
    config.generalist.steps += 10
    with pytest.raises(InputError, match=r"generalist\.steps: 20 and 30"):
        tt.compare(
            config,
            tmp_path / "three",
            quiet=True,
            generalists=tmp_path / "one",
            **domains,
        )
