"""What a run keeps of its data: their names, and what a server must know."""

import dataclasses
import os
from typing import Any

from tf_transfer.data import framing
from tf_transfer.utils.storage.json_fields import Fields

NAME = "data.json"
MOST = 2**27  # bytes of it
_MOST_SIDE = 2**15
_MOST_IMAGES = 10**12
_LAST = "unlabelled"
COUNTED = ("source", "labelled", "validation", "test", _LAST)
"""The parts of the data whose images are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataInfo:
    """`data.json`: the names of the data, and what a server needs to know.

    Attributes:
        source, target: names of the data; None if they were given as arrays.
        class_names: of the target.
        image_shape: height, width and channels of the framed images.
        frame: what maps raw target images to framed ones; None if the target
            was given as framed arrays.
        counts: numbers of images: of the `source`, `labelled` target images of
            a seed, `validation` images of the first seed, `test` images, and
            `unlabelled` target images. A run of an older version has none, or
            not the last.
    """

    source: str | None
    target: str | None
    class_names: list[str]
    image_shape: tuple[int, ...]
    frame: framing.Frame | None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(
        cls, content: Any, path: str | os.PathLike | None = None
    ) -> "DataInfo":
        """Reads `data.json`; raises InputError where a field does not fit."""
        fields = Fields(content, "data", path)
        shape = fields.content.get("image_shape")
        if (
            not isinstance(shape, list)
            or len(shape) != 3
            or not all(type(s) is int and 0 < s <= _MOST_SIDE for s in shape)
        ):
            fields.refuse("image_shape", f"three integers to {_MOST_SIDE}")
        return cls(
            source=_name(fields, "source"),
            target=_name(fields, "target"),
            class_names=fields.texts("class_names"),
            image_shape=tuple(shape),
            frame=_frame(fields),
            counts=_counts(fields),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `data.json`."""
        return dataclasses.asdict(self)


def _name(fields: Fields, part: str) -> str | None:
    """Returns the name of the data; null stands for arrays."""
    if part in fields.content and fields.content[part] is None:
        return None
    return fields.text(part)


def _counts(fields: Fields) -> dict[str, int]:
    """Returns the numbers of images; an older file has none."""
    counts = fields.object("counts", {})
    if not counts.content:
        return {}
    known = [p for p in COUNTED if p != _LAST or _LAST in counts.content]
    return {part: counts.integer(part, 0, _MOST_IMAGES) for part in known}


def _frame(fields: Fields) -> framing.Frame | None:
    """Returns the framing; null stands for images given as arrays."""
    if "frame" in fields.content and fields.content["frame"] is None:
        return None
    return framing.Frame.from_json(fields.object("frame"))
