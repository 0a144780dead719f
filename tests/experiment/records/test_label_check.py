import dataclasses
import json

import numpy as np
import pytest

from tf_transfer.datl.examples.scoring import ExampleScores
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.label_check import LabelCheck

LABELS = np.array([0, 1, 2, 0])
SCORES = ExampleScores(
    np.ones(4, np.float32),
    np.array([0.5, 0.2, 0.01, 0.9], np.float32),
    np.array([0, 2, 1, 0], np.int32),
)


def test_the_least_believed_come_first():
    found = LabelCheck.of(SCORES, LABELS)
    assert (found.images, found.doubted) == (4, 2)
    assert [each.image for each in found.least] == [2, 1]
    assert found.sentence(["cat", "dog", "fox"]) == (
        "about 60% of the 4 source labels seem to be wrong; 2 are in doubt: "
        "image 2 has the label 'fox', but looks like 'dog'"
    )


def test_numbers_are_those_of_the_whole_source():
    found = LabelCheck.of(SCORES, LABELS, places=np.array([3, 5, 6, 9]))
    assert [each.image for each in found.least] == [6, 5]
    labels = np.zeros(10, int)
    assert not found.is_of(labels)
    labels[[6, 5]] = [2, 1]
    assert found.is_of(labels)
    assert not found.is_of(labels[:6])


def test_no_doubt_is_said_without_an_example():
    scores = dataclasses.replace(SCORES, likely_labels=LABELS)
    scores = dataclasses.replace(scores, beliefs=np.ones(4, np.float32))
    found = LabelCheck.of(scores, LABELS)
    assert found.sentence([]) == "none of the 4 source labels seems to be wrong"


def test_the_file_holds_it_all():
    found = LabelCheck.of(SCORES, LABELS)
    content = json.loads(json.dumps(dataclasses.asdict(found)))
    assert LabelCheck.from_json(content, 3, "label_check.json") == found


def test_a_file_of_the_first_version_is_read():
    content = dataclasses.asdict(LabelCheck.of(SCORES, LABELS))
    del content["wrong"]
    assert LabelCheck.from_json(content, 3, "label_check.json").wrong == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "`label_check.images`"),
        ({"wrong": 2}, "`label_check.wrong`"),
        ({"doubted": 5}, "`label_check.doubted`"),
        ({"least": 7}, "`label_check.least`"),
        ({"least": [{}] * 13}, "a list of 2"),
        ({"doubted": 0}, "a list of 0"),
        ({"doubted": 1, "least": ["x"]}, "must be an object"),
        (
            {
                "doubted": 1,
                "least": [{"image": -1, "given": 0, "likely": 1, "belief": 0}],
            },
            "`label_check.least.image`",
        ),
        (
            {
                "doubted": 1,
                "least": [{"image": 0, "given": 3, "likely": 1, "belief": 0}],
            },
            "`label_check.least.given`",
        ),
        (
            {
                "doubted": 1,
                "least": [{"image": 0, "given": 0, "likely": 1, "belief": 2}],
            },
            "`label_check.least.belief`",
        ),
    ],
)
def test_a_damaged_file_is_refused(changes, message):
    content = dataclasses.asdict(LabelCheck.of(SCORES, LABELS)) | changes
    with pytest.raises(InputError, match=message):
        LabelCheck.from_json(content, 3, "label_check.json")
