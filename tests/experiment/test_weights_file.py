import numpy as np
import pytest

from tests import helpers
from tf_transfer.datl import diagnostics
from tf_transfer.errors import InputError
from tf_transfer.experiment import weights_file
from tf_transfer.experiment.weights_file import WeightTable


def test_weights_are_means_over_seeds(tmp_path):
    rows = helpers.weight_rows([0.0, 2.0])
    rows += [row | {"seed": 1} for row in helpers.weight_rows([1.0, 1.0])]
    weights_file.write(tmp_path, rows)
    found = WeightTable(tmp_path)
    assert next(iter(found.columns)) == "source_prior"
    assert found.names == ["class 0", "class 1"]
    np.testing.assert_allclose(found.mean("weight"), [0.5, 1.5])
    sizes = [
        diagnostics.effective_sample_size(w, np.full(2, 0.5))
        for w in ([0, 2], [1, 1])
    ]
    assert found.sample_size("weight") == pytest.approx(np.mean(sizes))
    # Half and one and a half of the weight, of each seed.
    np.testing.assert_allclose(found.reach(), [(0.25, 0.75), (0.75, 2.25)])


@pytest.mark.parametrize(
    "content", [None, "", "seed,class\n", "seed,class,weight\n0,a,x\n"]
)
def test_refuses_a_damaged_file(tmp_path, content):
    if content is not None:
        (tmp_path / "weights.csv").write_text(content)
    with pytest.raises(InputError, match=r"cannot be read\. Received: "):
        WeightTable(tmp_path)
