import numpy as np
import pytest

from tf_transfer.datl import running_rows


def test_memory_is_bounded_and_the_rows_are_a_uniform_sample(monkeypatch):
    monkeypatch.setattr(running_rows, "_MOST_ROWS", 200)
    rows = running_rows.RunningRows(1)
    for start in range(0, 10_000, 250):
        rows.add(np.arange(start, start + 250.0)[:, None])
    assert rows.sample.shape == (200, 1)
    assert rows.count == 10_000
    assert rows.mean[0] == pytest.approx(4999.5)
    assert rows.sample.mean() == pytest.approx(5000, abs=700)
    assert len(np.unique(rows.sample)) == 200


def test_without_a_sample_the_mean_is_kept_alone():
    rows = running_rows.RunningRows(2, sample=False)
    rows.add(np.ones((5, 2)))
    assert rows.sample.shape == (0, 2)
    assert rows.mean.tolist() == [1, 1]
