import types

import numpy as np
import pytest

from tests import helpers
from tf_transfer.datl import diagnostics
from tf_transfer.datl.estimation import TargetPrior
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.utils.storage.folders import Folder

FILE = (
    "seed,class_id,class,source_prior,target_prior,target_prior_low,"
    "target_prior_high,weight,l2tl_weight\r\n"
    '0,0,"a, ""b""",0.3,0.3333333333333333,0.16666666666666666,0.5,'
    "1.100000023841858,1.25\r\n"
    "0,1,\u00e4,0.7,0.6666666666666666,0.3333333333333333,1.0,"
    "0.10000000149011612,0.30000000000000004\r\n"
    "0,2,c,0.0,0.0,0.0,0.0,0.0,1e-07\r\n"
    '1,0,"a, ""b""",0.3,0.3333333333333333,0.16666666666666666,0.5,'
    "1.100000023841858,1.25\r\n"
    "1,1,\u00e4,0.7,0.6666566666666667,0.33332833333333334,0.999985,"
    "1.100000023841858,0.30000000000000004\r\n"
    "1,2,c,0.0,1e-05,5e-06,1.5000000000000002e-05,0.0,1e-07\r\n"
)
HEADER, FIRST, SECOND, *_ = FILE.splitlines(keepends=True)


def table_of_seed(seed):
    prior = np.array([1 / 3, 2 / 3 - 1e-5 * seed, 1e-5 * seed])
    interval = np.stack([prior / 2, prior * 1.5])
    weights = np.array([1.1, 0.1 + seed, 0.0], np.float32)
    estimate = TargetPrior(prior, interval, count=8, temperature=1.0)
    run = types.SimpleNamespace(
        seed=seed,
        source=types.SimpleNamespace(
            class_names=['a, "b"', "\u00e4", "c"],
            prior=np.array([0.3, 0.7, 0.0]),
        ),
        estimate_target_prior=lambda: estimate,
        estimate_importance=lambda: types.SimpleNamespace(
            numpy=lambda: weights
        ),
    )
    return WeightTable.from_run(run, {"l2tl": [1.25, 0.1 + 0.2, 1e-7]})


def test_the_file_is_written_to_the_byte(tmp_path):
    path = tmp_path / "weights.csv"
    WeightTable.join([table_of_seed(0), table_of_seed(1)]).write_csv(
        Folder(tmp_path)
    )
    assert path.read_bytes().decode() == FILE
    assert [each.name for each in tmp_path.iterdir()] == ["weights.csv"]


def test_what_is_read_is_written_again(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_bytes(FILE.encode())
    table = WeightTable.read_csv(Folder(tmp_path))
    assert table.class_names == ['a, "b"', "\u00e4", "c"]
    assert table.seeds == [0, 1]
    assert table.learned() == {"l2tl": "l2tl_weight"}
    assert table.first_seed().seeds == [0]
    assert table.first_seed().mean("weight")[1] == 0.10000000149011612
    table.write_csv(Folder(tmp_path))
    assert path.read_bytes().decode() == FILE


def test_weights_are_means_over_seeds():
    one = helpers.weight_table([0.0, 2.0])
    table = WeightTable.join([one, helpers.weight_table([1.0, 1.0], seed=1)])
    assert next(iter(table.columns)) == "source_prior"
    assert table.class_names == ["class 0", "class 1"]
    assert table.seeds == [0, 1]
    assert table.learned() == {}
    np.testing.assert_allclose(table.mean("weight"), [0.5, 1.5])
    sizes = [
        diagnostics.effective_sample_size(w, np.full(2, 0.5))
        for w in ([0, 2], [1, 1])
    ]
    assert table.sample_size("weight") == pytest.approx(np.mean(sizes))
    # Half and one and a half of the weight, of each seed.
    np.testing.assert_allclose(table.interval(), [(0.25, 0.75), (0.75, 2.25)])


def test_classes_without_examples_are_neither_top_nor_bottom():
    columns = {
        "weight": np.array([[4.0, 1.0, 3.0, 2.0, 0.0]]),
        "source_prior": np.array([[0.2, 0.2, 0.3, 0.3, 0.0]]),
    }
    table = WeightTable([*"abcde"], [0], columns)
    assert table.top(2).tolist() == [0, 2]
    assert table.bottom(2).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("values", "most", "top", "bottom"),
    [
        ([4, 1, 3, 2], 2, [4, 3], [1, 2]),
        ([4, 1, 3, 2, 5], 9, [5, 4, 3], [1, 2]),
        ([4, 1, 3, 2, 5], 1, [5], [1]),
        ([4], 1, [4], []),
    ],
)
def test_top_and_bottom_start_with_the_extremes(values, most, top, bottom):
    table = helpers.weight_table(values)
    weights = [table.mean("weight")[c] for c in table.top(most)]
    assert weights == top
    weights = [table.mean("weight")[c] for c in table.bottom(most)]
    assert weights == bottom


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "seed,class\n",
        "seed,class,weight\n0,a,x\n",
        HEADER,
        HEADER + FIRST.replace("1.25", "nan"),
        HEADER + FIRST.replace("1.25", "1e308"),
        HEADER + FIRST.replace("1.25", "-1.25"),
        HEADER + FIRST.replace(",1.25", ""),
        HEADER + FIRST.replace("1.25", "1.25,2"),
        HEADER + SECOND,
        HEADER + FIRST + FIRST,
        FILE[: FILE.rindex("1,2,c")],
        FILE.replace("1,1,\u00e4", "1,1,o"),
        FILE.replace("target_prior_low", "low"),
        FILE + "\0",
        b"\xff",
    ],
)
def test_refuses_a_damaged_file(tmp_path, content):
    path = tmp_path / "weights.csv"
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot be read\. Received: "):
        WeightTable.read_csv(Folder(tmp_path))
