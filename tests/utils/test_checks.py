import subprocess
import sys

import numpy as np
import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils import checks


@pytest.mark.parametrize("seed", [0, np.int64(3), 2**63 - 1])
def test_seeds(seed):
    checks.check_seed(seed)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None])
def test_refuses_seeds(seed):
    with pytest.raises(InputError, match="`seed` must be an integer of at l"):
        checks.check_seed(seed)


def test_class_counts():
    assert checks.check_class_count(1) == 1
    assert type(checks.check_class_count(np.int32(3))) is int


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", None])
def test_refuses_class_counts(count):
    with pytest.raises(InputError, match="`num_old` must be a positive int"):
        checks.check_class_count(count, "num_old")


@pytest.mark.parametrize("num_classes", [None, 2])
def test_priors(num_classes):
    prior = checks.check_prior([0.25, 0.75], num_classes)
    assert prior.dtype == np.float64
    assert prior.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("prior", "num_classes", "message"),
    [
        ([], None, r"one entry per class. Received: shape \(0,\)"),
        ([[1.0]], None, r"one entry per class. Received: shape \(1, 1\)"),
        ([0.5, 0.5], 3, r"3 entries, one per class. Received: shape \(2,\)"),
        ([3, 1], None, "not counts. Received: sum 4, smallest 1"),
        ([1.5, -0.5], 2, "Received: sum 1, smallest -0.5"),
        ([np.nan, 1.0], 2, "must hold shares"),
        ([-np.inf, np.inf], None, "must hold shares"),
    ],
)
def test_refuses_priors(prior, num_classes, message):
    with pytest.raises(InputError, match=message):
        checks.check_prior(prior, num_classes)


@pytest.mark.parametrize("weights", [[0, 2], [0.0, 0.0]])
def test_weights(weights):
    checked = checks.check_weights(weights, 2)
    assert checked.dtype == np.float64
    assert checked.tolist() == weights


@pytest.mark.parametrize(
    ("weights", "num_classes", "message"),
    [
        ([], None, r"one weight per source class. .* shape \(0,\)"),
        (1.0, None, r"one weight per source class. .* shape \(\)"),
        ([1.0], 2, r"one weight per source class, 2. .* shape \(1,\)"),
        ([1.0, -2.0], 2, "not negative. Received: -2 to 1"),
        ([1.0, np.inf], None, "must be finite .* Received: 1 to inf"),
        ([1.0, np.nan], None, "must be finite .* Received: nan to nan"),
    ],
)
def test_refuses_weights(weights, num_classes, message):
    with pytest.raises(InputError, match=message):
        checks.check_weights(weights, num_classes)


def test_refuses_weights_that_are_all_zero_where_one_must_be_positive():
    with pytest.raises(InputError, match=r"and not all 0\. Received: 0 to 0"):
        checks.check_weights([0.0, 0.0], positive=True)


def test_what_needs_numpy_alone_loads_no_tensorflow():
    code = (
        "import sys\n"
        "from tf_transfer.datl import diagnostics, shaping\n"
        "from tf_transfer.datl.estimators import label_shift\n"
        "from tf_transfer.utils import checks, environment, messages\n"
        "from tf_transfer.utils import weighting\n"
        "print('tensorflow' in sys.modules)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "False"
