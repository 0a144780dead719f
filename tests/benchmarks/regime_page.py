"""The figure and the table of the cells that `regime.py` has measured."""

import json
import pathlib

import cells

from tf_transfer.report import figures

WHOLE = "finetune_related"
ARM_TITLES = {
    "ratio": "P_t / P_s",
    "capped": "P_t / P_s, at most 4 repeats",
    "sharp": "(P_t / P_s)^3",
    "cut": "best by P_t / P_s",
    "lift_ratio": "`lift`",
    "lift_cut": "best by `lift`",
    "random_cut": "random classes",
    "related": "related classes",
}
_DRAWN = {
    "ratio": ("DATL's weights", "#3b6ea5", "o"),
    "cut": ("DATL: the best classes alone", "#d9822b", "s"),
    "related": ("the classes that are known to be related", "#7f8790", "^"),
}
_SIZES = {4: "7,000", 8: "28,000", 16: "90,000", 32: "317,000"}
_USUAL = {"labels": 20, "width": 8, "share": 0.3, "start": "generalist"}
_EARLIER = {"share": 0.3, "growing": 0}  # of cells without these settings


def settings(cell: dict) -> dict:
    """Returns the settings of a cell, those that are older included."""
    return _EARLIER | cell["cell"]


def read(path: pathlib.Path) -> list[dict]:
    """Returns the cells of a file; lines of one cell hold different arms."""
    merged: dict[tuple, dict] = {}
    for line in path.read_text().splitlines():
        cell = json.loads(line)
        cell["cell"] = {
            name: value
            for name, value in settings(cell).items()
            if name not in ("arms", "jobs")
        }
        key = tuple(sorted(cell["cell"].items()))
        arms = merged.setdefault(key, cell)["arms"]
        merged[key]["arms"] = cell["arms"] | arms
    return list(merged.values())


def table(found: list[dict]) -> str:
    """Returns the gains of all cells as a Markdown table."""
    heads = ["target", "labels", "passes", "parameters", "generalist", "start"]
    heads += ["seeds", "whole source", *ARM_TITLES.values()]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    order = ("target", "labels", "width", "start", "share", "passes")
    for cell in sorted(
        found, key=lambda cell: [settings(cell)[name] for name in order]
    ):
        what, arms = settings(cell), cell["arms"]
        values = [cells.points(arms.get(name, {})) for name in ARM_TITLES]
        head = (
            what["target"],
            what["labels"],
            f"{what['passes']:g}",
            _SIZES.get(what["width"], what["width"]),
            f"{what['share']:g}",
            _start(what),
            what["seeds"],
            f"{100 * arms[WHOLE]['mean']:.1f}",
        )
        lines.append(f"| {' | '.join(map(str, [*head, *values]))} |")
    return "\n".join(lines) + "\n"


def _start(what: dict) -> str:
    """Describes the start, and over how many of ten epochs weights grow."""
    growing = f", growing over {what['growing']}" if what["growing"] else ""
    return what["start"] + growing


def curves(found: list[dict]) -> dict[str, list[dict]]:
    """Returns the cells that differ in passes alone, by target."""
    by_target: dict[str, list[dict]] = {}
    for cell in found:
        what = settings(cell)
        if what["growing"] == 0 and _USUAL.items() <= what.items():
            by_target.setdefault(what["target"], []).append(cell)
    for points in by_target.values():
        points.sort(key=lambda cell: cell["cell"]["passes"])
    return by_target


def draw(found: list[dict], path: pathlib.Path) -> None:
    """Draws the gain against the passes over the source, for each target."""
    by_target = curves(found)
    figure = figures.new_figure(3.1 * len(by_target), 3.6)
    panels = figure.subplots(1, len(by_target), sharey=True, squeeze=False)[0]
    for axes, (target, points) in zip(panels, by_target.items(), strict=True):
        axes.axhline(0, color="#7f8790", lw=1)
        for place, (arm, look) in enumerate(_DRAWN.items()):
            rows = [
                (c["cell"]["passes"] * 1.06 ** (place - 1), c["arms"][arm])
                for c in points
                if arm in c["arms"]
            ]
            label, colour, marker = look
            axes.errorbar(
                [passes for passes, _ in rows],
                [row["gain"] for _, row in rows],
                [row["interval"] for _, row in rows],
                color=colour,
                marker=marker,
                capsize=3,
                lw=1.2,
                label=label,
            )
        axes.set_title(target.replace("_", "-"))
        axes.set_xscale("log")
        axes.set_xticks(
            [0.1, 0.25, 0.5, 1, 4], ["1/10", "1/4", "1/2", "1", "4"]
        )
        axes.minorticks_off()
        axes.set_xlabel("passes over the source")
    panels[0].set_ylabel("gain over the whole source, points")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)


def page(found: list[dict], picture: str) -> str:
    """Returns the document of all cells."""
    return f"""# Where choosing source data pays

Generated by `python tests/benchmarks/regime.py --page=FOLDER` from
`regime.jsonl`, which holds a line for each cell: the accuracies of every seed,
and the command's settings.

![Gain of DATL over the whole source against passes over the source]({picture})

One student of 28,000 parameters, 20 labels a class. All arms have seen as many
source images, those of the generalist included, and start from a related head;
bars are 95 % intervals of paired gains over seeds. Sources: 300 classes of
photographs (120,000 images); for digits 356 classes (148,000 images).

## All cells

`generalist` is its share of the passes. With `start` random, the further
training starts from random weights, that on the whole source too, as for a
new student of a given generalist; weights that are growing do so over so many
of ten epochs. `best by` takes as many of the best classes
as four repeats of an image ask for.

{table(found)}"""
