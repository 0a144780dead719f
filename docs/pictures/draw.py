"""Draws the picture of the method, light and dark.

tf-transfer weights --config=configs/glyphs_to_digits.py --out=runs/look
python docs/pictures/draw.py runs/look

The images and the weights in it are those of the embedded data.
"""

import csv
import pathlib
import sys

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch

import tf_transfer as tt

HERE = pathlib.Path(__file__).parent
SHOWN = 15  # source classes
LOOKS = {
    "light": {"paper": "#ffffff", "ink": "#1f2328", "soft": "#656d76"},
    "dark": {"paper": "#0d1117", "ink": "#e6edf3", "soft": "#8d96a0"},
}
BLUE, ORANGE = "#4a86c5", "#d9822b"
SIZE = 12


def weights_of(run: pathlib.Path) -> np.ndarray:
    """Returns the weights that `tf-transfer weights` wrote, `[C]`."""
    with (run / "weights.csv").open(newline="", encoding="utf-8") as file:
        return np.array([float(row["weight"]) for row in csv.DictReader(file)])


def chosen(weights: np.ndarray) -> np.ndarray:
    """Returns source classes from the largest weight to the smallest."""
    order = np.argsort(-weights)
    places = np.geomspace(1, len(order), SHOWN).astype(int) - 1
    return order[np.unique(places)]


def sheet(data: tt.ImageData, classes: np.ndarray, columns: int) -> np.ndarray:
    """Returns images of some classes as one: a class in each row."""
    rows = [data.images[data.labels == c][:columns, ..., 0] for c in classes]
    return np.vstack([np.hstack(row) for row in rows])


def arrow(figure, start, end, colour):
    figure.add_artist(
        FancyArrowPatch(
            start,
            end,
            transform=figure.transFigure,
            arrowstyle="-|>",
            mutation_scale=18,
            color=colour,
            lw=1.6,
        )
    )


def show(axes, picture, title, look):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="equal")
    axes.set_title(title, color=look["ink"], fontsize=12, pad=8)
    axes.set_axis_off()


def steps(figure, look):
    """Writes what happens to the weights, below the panels."""
    for x, text in (
        (0.17, "1. Train a first model on the\nwhole source: the generalist."),
        (
            0.5,
            "2. Weigh each source class by how\nmuch the target looks like it.",
        ),
        (0.83, "3. Train again on the weighted\nsource, then fine-tune."),
    ):
        figure.text(x, 0.03, text, ha="center", color=look["soft"], fontsize=11)


def draw(weights: np.ndarray, name: str, look: dict) -> None:
    """Writes `method_NAME.png`."""
    source = tt.load("glyphs", size=SIZE, channels=1)
    target = tt.load("digits", size=SIZE, channels=1)
    classes = chosen(weights)
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 4.6), width_ratios=[0.85, 1.15, 0.7]
    )
    figure.patch.set_facecolor(look["paper"])
    figure.subplots_adjust(0.02, 0.19, 0.98, 0.9, 0.32)
    some = np.random.default_rng(0).permutation(source.num_classes)[:20]
    pile = [sheet(source, part, 4) for part in np.split(some, 2)]
    show(left, np.hstack(pile), f"source: {len(weights)} classes", look)
    show(right, sheet(target, np.arange(10), 6), "target: few labels", look)

    middle.set_facecolor(look["paper"])
    places = np.arange(len(classes))
    colours = [BLUE if w >= 1 else ORANGE for w in weights[classes]]
    middle.barh(places, weights[classes], color=colours, height=0.7)
    middle.axvline(1, color=look["soft"], lw=1, ls="--")
    middle.set_xscale("log")
    middle.set_xlim(0.01, 20)
    middle.set_ylim(len(classes) - 0.5, -0.5)
    middle.set_title("importance weight", color=look["ink"], fontsize=12, pad=8)
    middle.set_yticks([])
    middle.tick_params(colors=look["soft"])
    middle.xaxis.set_major_formatter("{x:g}")
    for side in middle.spines.values():
        side.set_visible(False)
    for place, c in zip(places, classes, strict=True):
        box = middle.inset_axes(
            [-0.1, 1 - (place + 0.97) / len(classes), 0.09, 0.94 / len(classes)]
        )
        box.imshow(sheet(source, [c], 1), cmap="gray", vmin=0, vmax=255)
        box.set_axis_off()
    arrow(figure, (0.285, 0.55), (0.318, 0.55), look["soft"])
    arrow(figure, (0.765, 0.55), (0.72, 0.55), look["soft"])
    steps(figure, look)
    figure.savefig(HERE / f"method_{name}.png", dpi=110)
    plt.close(figure)


def main() -> None:
    weights = weights_of(pathlib.Path(sys.argv[1]))
    for name, look in LOOKS.items():
        draw(weights, name, look)


if __name__ == "__main__":
    main()
