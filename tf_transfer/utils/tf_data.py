"""Options of tf.data pipelines."""

import tensorflow as tf


def quiet(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns autotuning off: its timer would delay every end of `fit`."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
