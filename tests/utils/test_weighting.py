import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.utils import weighting


def test_source_prior_by_hand():
    prior = weighting.source_prior(np.array([0, 0, 1, 2]), 3)
    np.testing.assert_allclose(prior, [0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3]), r"lie in \[0, 3\). Received: label 3"),
        (np.array([-1, 0]), r"lie in \[0, 3\). Received: label -1"),
        (np.array([], int), "no labels"),
        (np.eye(3), "must be integers"),
    ],
)
def test_source_prior_refuses(labels, message):
    with pytest.raises(InputError, match=message):
        weighting.source_prior(labels, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "one weight per source class, 2"),
        ([1.0, -1.0], "not negative. Received: -1 to 1"),
        ([np.nan, 1.0], "finite"),
        ([0.0, 0.0], "must not all be zero"),
    ],
)
def test_normalise_refuses(values, message):
    with pytest.raises(InputError, match=message):
        weighting.normalise(np.array(values), np.full(2, 0.5))


def test_normalised_weights_have_mean_one_under_the_source_prior():
    weights = weighting.normalise([1, 2, 3], np.array([0.5, 0.25, 0.25]))
    # The mean is .5 + .5 + .75 = 1.75.
    np.testing.assert_allclose(weights, np.array([4, 8, 12]) / 7)


@pytest.mark.parametrize("labels", [2, [0, 2, 2], [[1], [0]]])
def test_weights_are_looked_up_for_labels_of_any_shape(labels):
    class_weights = np.array([0.5, 1.0, 1.5], np.float32)
    weights = weighting.weight_of(tf.constant(class_weights), labels)
    np.testing.assert_array_equal(weights, class_weights[labels])


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_stops_the_look_up_with_a_sentence(label):
    look_up = tf.function(weighting.weight_of)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"must lie in \[0, 3\)"
    ):
        look_up(tf.ones(3), tf.constant([0, label]))
