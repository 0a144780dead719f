"""Characters drawn from matplotlib's fonts: the embedded source data set.

They are drawn the way the target `digits` was made (Kaynak 1995, in
scikit-learn). The ink fills the frame of a 32x32 black-and-white bitmap. The
bitmap is cut into 4x4 blocks, and each of the 8x8 blocks counts its inked
pixels.
"""

import functools
import pathlib

import numpy as np

CHARACTERS = "".join(
    [
        "0123456789",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "abcdefghijklmnopqrstuvwxyz",
        "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθκλμξπρστφχψω",
        *map(chr, range(0x2190, 0x2200)),  # arrows
        "∀∃∈∋∏∑∓∗∘√∝∞∠∧∨∩∪∫∼≃≈≠≡≤≥⊂⊃⊆⊇⊕⊗⊤⊥⋄⋅",
        *map(chr, range(0x25A0, 0x2600)),  # geometric shapes
    ]
)
FONTS = [
    "DejaVuSans",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
]
VERSION = 1  # in the name of the cache file; raise it if the drawing changes
BITMAP = 32
BLOCK = 4
_ATLAS = 64


@functools.cache
def _atlas() -> np.ndarray:
    """Draws every character once per font and stroke width.

    Returns:
        Ink in 0..1, `[characters, variants, 64, 64]`, each character scaled
        so that its bounding box touches a centred 48-pixel square.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    atlas = []
    for name in FONTS:
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), 80)
        for stroke in (0, 2, 4):
            for character in CHARACTERS:
                page = Image.new("L", (160, 160))
                ImageDraw.Draw(page).text(
                    (80, 80),
                    character,
                    fill=255,
                    font=font,
                    anchor="mm",
                    stroke_width=stroke,
                )
                ink = page.crop(page.getbbox())
                ink.thumbnail((48, 48))
                scale = 48 / max(ink.size)
                ink = ink.resize([max(1, round(s * scale)) for s in ink.size])
                cell = Image.new("L", (_ATLAS, _ATLAS))
                cell.paste(ink, [(_ATLAS - s) // 2 for s in ink.size])
                atlas.append(np.asarray(cell, np.float32) / 255)
    shape = (-1, len(CHARACTERS), _ATLAS, _ATLAS)
    return np.stack(atlas).reshape(shape).swapaxes(0, 1)


def _bend(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves a `[2, n, n]` grid in -1..1 by a random affine map and wave."""
    angle = rng.normal(0, 0.12)
    shear = rng.normal(0, 0.2)
    stretch = np.exp(rng.normal(0, [0.08, 0.15]))
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    slant = np.array([[1.0, 0.0], [shear, 1.0]])
    moved = np.einsum("ij,jxy->ixy", turn @ slant, grid)
    moved *= stretch[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, 2)
    height = rng.normal(0, 0.08, 2)
    wave = np.sin(np.pi * moved[::-1] + phase[:, None, None])
    return moved + height[:, None, None] * wave


def _fill(ink: np.ndarray) -> np.ndarray:
    """Enlarges the ink of a bitmap until it fills the frame."""
    from scipy import ndimage

    rows, columns = np.nonzero(ink > 0.5)
    if not rows.size:
        return ink
    top, bottom = rows.min(), rows.max() + 1
    left, right = columns.min(), columns.max() + 1
    side = max(bottom - top, right - left)
    axis = (np.arange(BITMAP) + 0.5) / BITMAP - 0.5
    where = np.meshgrid(
        (top + bottom) / 2 - 0.5 + axis * side,
        (left + right) / 2 - 0.5 + axis * side,
        indexing="ij",
    )
    return ndimage.map_coordinates(ink, where, order=1)


def draw(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws `per_class` images of every character.

    Args:
        per_class: images of each of the `len(CHARACTERS)` classes.
        seed: of the drawing; the same seed gives the same images.

    Returns:
        Images `[N, 8, 8]` uint8 in 0..255, white ink on black, and labels
        `[N]` int32 into `CHARACTERS`.
    """
    from scipy import ndimage

    atlas = _atlas()
    rng = np.random.default_rng(seed)
    axis = np.linspace(-1, 1, _ATLAS)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))
    labels = np.repeat(np.arange(len(CHARACTERS), dtype=np.int32), per_class)
    images = np.empty((len(labels), 8, 8), np.uint8)
    for i, label in enumerate(labels):
        cell = atlas[label, rng.integers(atlas.shape[1])]
        where = (_bend(grid, rng) + 1) * (_ATLAS - 1) / 2
        ink = _fill(ndimage.map_coordinates(cell, where, order=1))
        blocks = (ink > 0.5).reshape(8, BLOCK, 8, BLOCK)
        images[i] = blocks.mean((1, 3)) * 255
    return images, labels
