import dataclasses

import numpy as np
import pytest

from tests import helpers
from tf_transfer.datl import diagnostics
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.report.verdict import doubts, verdict, weak_generalist

FORECAST = Forecast(
    passes=0.5,
    ess=0.5,
    repeats=1.0,
    source_accuracy=0.1,
    images_per_parameter=1.0,
    labels=20.0,
    neighbours=None,
    chance=0.1,
)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([2.0, 1.0, 1.0, 0.0], "make sense to you?"),
        ([20.0] + [0.0] * 19, "Warning: The effective sample size"),
    ],
)
def test_verdict(values, words):
    values = np.array(values)
    prior = np.full(len(values), 1 / len(values))
    diagnosis = diagnostics.diagnose(values, values * prior, prior)
    table = helpers.weight_table(values)
    text = verdict(table, diagnosis, accuracy=0.9, forecast=FORECAST)
    assert words in text
    assert "accuracy on its own source images is 90%." in text
    text = verdict(
        table, diagnosis, accuracy=1.1 / len(values), forecast=FORECAST
    )
    assert words not in text
    assert "train it longer (`generalist.passes`)" in text
    least = text.splitlines()[2]
    assert f"class {len(values) - 1}" in least
    assert "class 0" not in least
    assert f"class 0 {values[0]:.1f}" in text
    assert text.endswith("\n".join(FORECAST.sentences()))


def test_a_generalist_is_weak_up_to_a_fifth_of_the_way_from_chance():
    assert weak_generalist(0.4, classes=4) is not None  # .25 + .2 * .75
    assert weak_generalist(0.41, classes=4) is None
    assert weak_generalist(1.0, classes=1) is None


def test_the_order_of_classes_is_doubted_where_it_may_be_chance():
    learned = dataclasses.replace(FORECAST, source_accuracy=0.9)
    assert doubts(learned, classes=8) == []
    (blind,) = doubts(dataclasses.replace(learned, neighbours=0.15), classes=8)
    assert "may be no better than chance" in blind
    assert "15% of the labelled target images" in blind
    assert "(10% by chance)" in blind
    assert doubts(dataclasses.replace(learned, neighbours=0.5), classes=8) == []
    assert doubts(FORECAST, classes=8) == [weak_generalist(0.1, classes=8)]
