"""Trainings that are interrupted and resumed, for several test files."""

import keras
import numpy as np
import tensorflow as tf

from tests import helpers
from tests.training.test_checkpoint import Interrupt
from tf_transfer.training.checkpoint import Resume

IMAGES = helpers.blobs(per_class=6)
ROWS = IMAGES.images.reshape(24, -1).astype(np.float32) / 255


def data(start=0):
    """Endless batches of eight rows and labels, from a step on."""
    rows = tf.data.Dataset.from_tensor_slices((ROWS, IMAGES.labels))
    return rows.batch(8).repeat().skip(start)


def dense(optimizer="sgd", metrics=(), **settings):
    """A compiled classifier of rows."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(4)])
    model.compile(optimizer, helpers.LOSS, metrics=list(metrics), **settings)
    return model


def resumed(make, folder, *kills, callbacks=lambda: (), epochs=3, every=1):
    """Trains four steps an epoch, interrupted after some numbers of steps.

    `make` returns a compiled model, `callbacks` new ones whose state is kept.
    Returns the model and its `Resume`.
    """
    for kill in (*kills, None):
        model, states = make(), list(callbacks())
        resume = Resume(model, folder, every=every, also=states)
        after = [Interrupt(kill)] if kill else []
        try:
            for start, span in resume.spans(epochs, 4):
                model.fit(
                    data(start),
                    callbacks=[*states, resume, *after],
                    verbose=0,
                    shuffle=False,
                    **span,
                )
        except KeyboardInterrupt:
            continue
    return model, resume


def check_same(make, folder, *kills, **settings):
    """Checks that interruptions change neither weights nor logs.

    They are those of `fit` alone: of a training without interruption, of one
    with some, and of a finished one that is loaded.
    """
    model, states = make(), list(settings.get("callbacks", lambda: ())())
    history = model.fit(
        data(),
        epochs=settings.get("epochs", 3),
        steps_per_epoch=4,
        callbacks=states,
        verbose=0,
        shuffle=False,
    ).history
    for place, each in ((None, ()), (folder, kills), (folder, ())):
        other, resume = resumed(make, place, *each, **settings)
        for one, two in zip(model.variables, other.variables, strict=True):
            np.testing.assert_array_equal(np.array(one), np.array(two))
        assert {k: list(v) for k, v in history.items()} == resume.history()
