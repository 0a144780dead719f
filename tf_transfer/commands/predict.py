"""Classifies image files with a SavedModel alone."""

import csv
import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from tf_transfer.data.raw import image_files
from tf_transfer.data.raw.formats import folders
from tf_transfer.errors import InputError
from tf_transfer.export import safe_operations
from tf_transfer.utils import messages
from tf_transfer.utils.escaping import csv_cell, printable
from tf_transfer.utils.storage.files import check_no_pattern
from tf_transfer.utils.storage.folders import Folder

_NEEDED = {"class_names", "top_probabilities"}
FORMATS = ("text", "csv")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one image file.

    Attributes:
        file: its name.
        class_name: the most probable class; None if there is no image.
        probability: that of the class.
        error: why there is no prediction; empty if there is one.
    """

    file: str
    class_name: str | None = None
    probability: float | None = None
    error: str = ""


def predict(
    model: str | os.PathLike,
    files: Sequence[str | os.PathLike],
    trust: bool = False,
) -> Iterator[Prediction]:
    """Yields a prediction for each image, also after one that cannot be read.

    Args:
        model: a version that `export_serving` wrote, such as `export/1`.
        files: images of any format that training reads, and folders, of which
            all images are taken at any depth. Images are turned as their EXIF
            orientation says.
        trust: run the model whatever its operations are. A SavedModel is a
            program; without trust, it may only compute.

    Raises:
        InputError: if the folder holds no such model, or there are no images.
    """
    serve = _load(pathlib.Path(model), trust)
    for file in _images(files):
        try:
            content = image_files.as_jpeg_or_png(image_files.read_file(file))
            outputs = serve(image_bytes=tf.constant([content]))
        except (OSError, image_files.UnreadableImageError, tf.errors.OpError):
            name = messages.shell_word(file)
            sentence = f"The image cannot be read. Received: {name}"
            yield Prediction(file, error=sentence)
            continue
        try:
            name = outputs["class_names"].numpy()[0, 0]
            name = name.decode(errors="backslashreplace")
            probability = float(outputs["top_probabilities"].numpy()[0, 0])
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise _unsuitable(model) from error
        yield Prediction(file, name, probability)


def _images(files: Sequence[str | os.PathLike]) -> list[str]:
    """Returns the files, and the images in the folders among them."""
    found = []
    for file in map(os.fspath, files):
        inside = folders.image_paths(file) if os.path.isdir(file) else [file]
        found += inside
    if not found:
        names = " ".join(messages.shell_word(os.fspath(f)) for f in files)
        raise InputError(f"There are no images. Received: {names}")
    return found


def print_table(predictions: Iterable[Prediction], kind: str) -> None:
    """Prints a line for each prediction, and a sentence where there is none.

    Args:
        predictions: of `predict`.
        kind: one of `FORMATS`.

    Raises:
        InputError: in the end, if an image could not be read.
    """
    failed = count = 0
    rows = csv.writer(sys.stdout, lineterminator="\n")
    if kind == "csv":
        rows.writerow(["file", "class", "probability"])
    for each in predictions:
        count += 1
        if each.error:
            failed += 1
            print(f"tf-transfer: {printable(each.error)}", file=sys.stderr)
        elif kind == "csv":
            names = csv_cell(each.file), csv_cell(each.class_name)
            rows.writerow([*names, f"{each.probability:.6f}"])
        else:
            words = printable(each.file), printable(each.class_name)
            print(*words, f"{each.probability:.4f}", sep="\t")
    if failed:
        raise InputError(
            "Not all images could be read. "
            f"Received: {failed} unreadable of {count}"
        )


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
