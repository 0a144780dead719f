"""What a sample of raw images shows, before their size is decided."""

import dataclasses
from collections.abc import Collection

import numpy as np

from tf_transfer.data import framing
from tf_transfer.data.raw import reading
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError

_SAMPLE = 200
_COLOURED = 0.1  # difference of two channels, as a share of full brightness
_COLOURED_PIXELS = 0.01
_COLOURED_IMAGES = 0.1


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a sample of one data set's images looks like.

    Attributes:
        count: images outside the data set's own test part.
        classes: their number of classes.
        has_test: whether there is such a part.
        side: pixels of the shorter side, the median of the sample.
        coloured: whether a tenth or more of the images have coloured pixels.
        plain: whether they have a plain background, as scans and drawings do.

    Example:

    >>> images = np.zeros((4, 30, 20, 3), np.uint8)
    >>> survey(RawImages(images, np.array([0, 0, 1, 1]), ["a", "b"])).side
    20
    """

    count: int
    classes: int
    has_test: bool
    side: int
    coloured: bool
    plain: bool


def survey(
    raw: RawImages, name: str = "data", classes: Collection[str] = ()
) -> Survey:
    """Looks at up to 200 images, drawn at random but always the same.

    Args:
        raw: the images; the test part is not looked at.
        name: of the data set, for error messages.
        classes: names of those that are used; if none is there, all are.

    Raises:
        InputError: if there are no images, none can be read, or one has a
            wrong shape or value.
    """
    if not len(raw.labels):
        raise InputError(f"The data set has no images. Received: {name!r}")
    try:
        return _survey(raw, classes)
    except InputError as error:
        raise InputError(f"Data set {name!r}: {error}") from error


def _survey(raw: RawImages, classes: Collection[str]) -> Survey:
    pool = raw.outside_test()
    pool = pool if len(pool) else np.arange(len(raw.labels))
    chosen = [c for c, n in enumerate(raw.class_names) if n in set(classes)]
    used = pool[np.isin(np.asarray(raw.labels)[pool], chosen)]
    pool = used if len(used) else pool
    sample = np.random.default_rng(0).permutation(pool)[:_SAMPLE]
    reader = reading.ImageReader(raw.images)
    images, sides = [], []
    for i in map(int, sample):
        image = framing.as_hwc(reader[i])
        if i not in reader.refused:
            sides.append(min(image.shape[:2]))
            images.append(reading.reduced(image))
    if not images:
        reader.check(skip=False)
    return Survey(
        count=len(pool),
        classes=len(chosen) if len(used) else len(raw.class_names),
        has_test=raw.test is not None,
        side=int(np.median(sides)),
        coloured=sum(map(_is_coloured, images))
        >= _COLOURED_IMAGES * len(images),
        plain=framing.measure(images).background is not None,
    )


def _is_coloured(image: np.ndarray) -> bool:
    """Whether the channels of an image `[H, W, channels]` differ."""
    if image.shape[-1] < 3:
        return False
    colours = image[..., :3].astype(np.float32)
    spread = colours.max(axis=-1) - colours.min(axis=-1)
    share = (spread > _COLOURED * colours.max()).mean()
    return bool(share > _COLOURED_PIXELS)
