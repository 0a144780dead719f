"""Classifies image files with a SavedModel alone."""

import os
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tf_transfer.data import image_files
from tf_transfer.errors import InputError
from tf_transfer.utils import messages


def predict(
    model: str | os.PathLike, files: Sequence[str | os.PathLike]
) -> Iterator[tuple[str, float]]:
    """Yields the most probable class of each file, and its probability.

    Args:
        model: a version that `export_serving` wrote, such as `export/1`.
        files: images of any format that training reads. They are turned as
            their EXIF orientation says.

    Raises:
        InputError: if the folder holds no such model, or a file is no image.
    """
    serve = _load(pathlib.Path(model))
    for file in files:
        try:
            content = image_files.as_jpeg_or_png(
                pathlib.Path(file).read_bytes()
            )
            outputs = serve(image_bytes=tf.constant([content]))
        except (
            OSError,
            image_files.UnreadableImageError,
            tf.errors.OpError,
        ) as error:
            raise InputError(
                "The image cannot be read. "
                f"Received: {messages.shell_word(os.fspath(file))}"
            ) from error
        name = outputs["class_names"].numpy()[0, 0].decode()
        yield name, float(outputs["top_probabilities"][0, 0])


def _load(model: pathlib.Path):
    """Returns the signature `serve_bytes` of a SavedModel."""
    if not (model / "saved_model.pb").is_file():
        raise InputError(
            "The folder holds no SavedModel; give a version, such as "
            f"export/1. Received: {model}"
        )
    try:
        loaded = tf.saved_model.load(str(model))
    except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
        raise InputError(
            f"The SavedModel cannot be read. Received: {model}"
        ) from error
    serve = loaded.signatures.get("serve_bytes")
    names = {"class_names", "top_probabilities"}
    if serve is None or not names <= set(serve.structured_outputs):
        raise InputError(
            "The SavedModel has no signature `serve_bytes` of `export_serving`."
            f" Received: {model} with {sorted(loaded.signatures)}"
        )
    # The signature alone does not keep the model's variables alive.
    return lambda **inputs: (loaded, serve(**inputs))[1]
