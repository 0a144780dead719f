"""Classifies image files with a SavedModel alone."""

import os
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tf_transfer.data.raw import image_files
from tf_transfer.errors import InputError
from tf_transfer.export import safe_operations
from tf_transfer.utils import messages
from tf_transfer.utils.storage.files import check_no_pattern
from tf_transfer.utils.storage.folders import Folder

_NEEDED = {"class_names", "top_probabilities"}


def predict(
    model: str | os.PathLike,
    files: Sequence[str | os.PathLike],
    trust: bool = False,
) -> Iterator[tuple[str, float]]:
    """Yields the most probable class of each file, and its probability.

    Args:
        model: a version that `export_serving` wrote, such as `export/1`.
        files: images of any format that training reads. They are turned as
            their EXIF orientation says.
        trust: run the model whatever its operations are. A SavedModel is a
            program; without trust, it may only compute.

    Raises:
        InputError: if the folder holds no such model, or a file is no image.
    """
    serve = _load(pathlib.Path(model), trust)
    for file in files:
        try:
            content = image_files.as_jpeg_or_png(image_files.read_file(file))
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
        try:
            name = outputs["class_names"].numpy()[0, 0]
            name = name.decode(errors="backslashreplace")
            probability = float(outputs["top_probabilities"].numpy()[0, 0])
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise _unsuitable(model) from error
        yield name, probability


def _load(model: pathlib.Path, trust: bool):
    """Returns the signature `serve_bytes` of a SavedModel."""
    try:
        check_no_pattern(model)
        _check_files(model)
        if not trust:
            safe_operations.check(model)
        loaded = tf.saved_model.load(str(model))
        serve = loaded.signatures.get("serve_bytes")
        outputs = serve and serve.structured_outputs
    except InputError:
        raise
    except Exception as error:  # of many types, by the damage
        raise InputError(
            f"The SavedModel cannot be read. Received: {model}"
        ) from error
    if not outputs or not set(outputs) >= _NEEDED:
        raise _unsuitable(model)
    # The signature alone does not keep the model's variables alive.
    return lambda **inputs: (loaded, serve(**inputs))[1]


def _check_files(model: pathlib.Path) -> None:
    """Raises InputError unless a folder holds a SavedModel, without links."""
    if not (model / "saved_model.pb").is_file():
        raise InputError(
            "The folder holds no SavedModel; give a version, such as "
            f"export/1. Received: {model}"
        )
    folder = Folder(model)
    for name in ("variables", "assets"):
        for file in folder.names(name):
            if not folder.has(f"{name}/{file}"):
                raise InputError(
                    "A SavedModel must hold regular files. "
                    f"Received: {model / name / file}"
                )


def _unsuitable(model: str | os.PathLike) -> InputError:
    return InputError(
        "The SavedModel has no signature `serve_bytes` of `export_serving`. "
        f"Received: {os.fspath(model)}"
    )
