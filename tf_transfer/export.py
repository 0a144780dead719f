"""SavedModel export for serving."""

import os
import pathlib
import shutil

import keras
import tensorflow as tf

from tf_transfer.errors import InputError


def export_serving(model: keras.Model, path: str | os.PathLike) -> pathlib.Path:
    """Writes a classifier as the next version of a served model.

    The layout is TensorFlow Serving's: `path/1`, `path/2`, ... A version is
    written beside and renamed, so that a server never sees half of it.

    Args:
        model: a classifier from images `[B, height, width, channels]` in 0..1
            to logits `[B, C]`.
        path: the folder of the versions.

    Returns:
        The folder of the new version. Its signature `serving_default` maps
        `images` to `probabilities` `[B, C]` and `class_ids` `[B]`.
    """
    root = pathlib.Path(path)
    if not model.built:
        raise InputError(
            f"The model must be built before export. Received: {model.name!r}"
        )
    root.mkdir(parents=True, exist_ok=True)
    versions = [int(p.name) for p in root.iterdir() if p.name.isdigit()]
    final = root / str(max(versions, default=0) + 1)
    partial = root / f"partial-{final.name}"
    shutil.rmtree(partial, ignore_errors=True)

    def serve(images):
        probabilities = tf.nn.softmax(model(images, training=False))
        return {
            "probabilities": probabilities,
            "class_ids": tf.argmax(probabilities, axis=-1),
        }

    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec(model.input_shape, tf.float32, name="images")
    archive.add_endpoint("serving_default", serve, input_signature=[spec])
    archive.write_out(str(partial), verbose=False)
    os.replace(partial, final)
    return final
