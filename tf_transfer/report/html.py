"""report.html: one self-contained page on a run, for who has to decide."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tf_transfer.data import splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment import run_data, statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.run_folder import FinishedRun, misfit
from tf_transfer.experiment.statistics import Result, Row
from tf_transfer.experiment.weights_file import WeightTable
from tf_transfer.report import mistakes_section, svg, weights_section
from tf_transfer.report.markdown import stems
from tf_transfer.report.svg import Dot, Series
from tf_transfer.report.text import advice, points
from tf_transfer.utils import progress
from tf_transfer.utils.files import replacing

NAME = "report.html"
# Controls have the colour of their method, and a broken line.
_FAMILIES = {
    "finetune_related": ("finetune", "dashed"),
    "datl_uniform": ("datl", "dashed"),
    "datl_reversed": ("datl", "dotted"),
    "joint": ("l2tl", "dotted"),
    "l2tl_frozen": ("l2tl", "dashed"),
}


def write(
    run: str | os.PathLike,
    source: ImageData | None = None,
    target: ImageData | None = None,
) -> pathlib.Path:
    """Writes the report of a finished run from its folder.

    Args:
        run: the run's folder.
        source: the source images that were trained on; without them the
            report shows none.
        target: the whole target, likewise.

    Returns:
        The file, `report.html`.

    Raises:
        InputError: if the folder holds no finished run, or damaged files.
    """
    return _write(FinishedRun.read(run), source, target)


def _write(
    run: FinishedRun, source: ImageData | None, target: ImageData | None
) -> pathlib.Path:
    try:
        page = _page(run, source, target)
    except (TypeError, AttributeError, LookupError) as error:
        raise misfit(run.path, error) from error
    path = run.path / NAME
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def rewrite(run: str | os.PathLike) -> pathlib.Path:
    """Writes the report anew, with images if their data can be loaded.

    For arguments and errors, see `write`.
    """
    finished = FinishedRun.read(run)
    images: dict[str, ImageData | None] = {}
    try:
        for part in ("source", "target"):
            images[part] = _reloaded(finished, part)
        if images["source"] is not None:
            images["source"] = splits.trained_on(
                images["source"], finished.config["data"]["source_per_class"]
            )
    except (KeyError, TypeError) as error:
        raise misfit(finished.path, error) from error
    return _write(finished, **images)


def _reloaded(run: FinishedRun, part: str) -> ImageData | None:
    try:
        return run_data.reload(run, part)
    except InputError as error:
        progress.warn(f"No images of the {part} are shown. {error}")
        return None


def _page(
    run: FinishedRun, source: ImageData | None, target: ImageData | None
) -> str:
    """Returns the page."""
    config, results = run.config, run.results
    methods = config["methods"]
    rows = statistics.summary(results, methods)
    chosen = next(row for row in rows if row.chosen)
    best = statistics.best_seed(results, chosen.method)
    split = target and run_data.split(run, target, best["seed"])
    # Nothing else asks what the source is like.
    uses_source = set(methods) != {"scratch"}
    found = WeightTable(run.path) if uses_source else None
    learned = [r for r in results if r["method"] == "l2tl"]
    said = mistakes_section.read(run.path, best["method"], best["seed"])
    names = run.data["class_names"]
    return _fill(
        title=" \u2192 ".join(
            stems(run.data[part]) for part in ("source", "target")
        ),
        setting=_setting(config, results),
        verdict=_verdict(results, methods, chosen),
        rows=[_cells(row) for row in rows],
        seeds=config["seeds"],
        gains=_gains(rows),
        chosen=chosen.method,
        exported=best,
        weights=found
        and weights_section.estimated(found, source, split and split.labelled),
        learned=learned
        and weights_section.learned(learned, config, found.names),
        mistakes=mistakes_section.section(said, names, split and split.test),
        curves=_curves(results, methods),
        legend=[(method, *_look(method)) for method in methods],
        settings=list(_flat(config)),
        versions=_versions(results),
    )


def _fill(**content) -> str:
    """Returns the template with its content; names in it are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(content)


def _setting(config: dict[str, Any], results: Sequence[Result]) -> str:
    settings, seeds = config["data"], config["seeds"]
    spent = progress.duration(sum(r["seconds"] for r in results))
    return (
        f"{settings['labels_per_class']} labelled target images a class "
        f"({settings['validation_per_class']} of them for validation), "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, "
        f"{spent} of training, summed over processes."
    )


def _verdict(
    results: Sequence[Result], methods: Sequence[str], chosen: Row
) -> list[str]:
    """Returns sentences, that with the choice first."""
    said = advice(results, methods)
    if not said:
        return [
            f"By the validation images {chosen.method} is the choice.",
            "There is no interval by which a gain over fine-tuning could be "
            "told from luck: that takes the method finetune and several seeds.",
        ]
    return [_told(sentence) for sentence in (said[-1], *said[:-1])]


def _told(text: str) -> str:
    return text.replace("+-", "\u00b1")


def _about(method: str) -> str:
    """Returns a method's sentence."""
    found = METHODS.get(method)
    return found.about if found else ""


def _cells(row: Row) -> dict[str, Any]:
    gain = None
    if row.gain:
        gain = _told(points(row.gain.mean, row.gain.interval, sign=True))
    return {
        "method": row.method,
        "about": _about(row.method),
        "accuracy": _told(points(row.accuracy, row.interval)),
        "gain": gain,
        "minutes": f"{row.minutes:.1f}"
        if row.minutes >= 1
        else f"{row.minutes:.2f}",
        "chosen": row.chosen,
    }


def _gains(rows: Sequence[Row]) -> str | None:
    """Draws the paired gains over fine-tuning, which is at zero."""
    shown, said = [], []
    for row in rows:
        if row.gain:
            gain = row.gain.mean, row.gain.interval
            said.append(f"{row.method} {points(*gain, sign=True)}")
        elif row.method == statistics.BASELINE:
            gain = 0.0, 0.0
        else:
            continue
        shown.append(Dot(row.method, *(100 * g for g in gain), row.chosen))
    if not said:
        return None
    alt = _told(f"Gains over fine-tuning in points: {'; '.join(said)}.")
    return svg.dots(shown, alt, "points")


def _look(method: str) -> tuple[str, str]:
    """Returns the colour of a method's lines, and how they are broken."""
    return _FAMILIES.get(method, (method, ""))


def _curves(
    results: Sequence[Result], methods: Sequence[str]
) -> list[dict[str, str]]:
    """Draws the training loss of every stage, averaged over seeds."""
    panels = []
    for stage, title in svg.STAGES.items():
        series = []
        for method in methods:
            losses = [
                r["history"][stage]["loss"]
                for r in results
                if r["method"] == method and stage in r["history"]
            ]
            if losses:
                mean = np.mean(losses, axis=0)
                done = 100 * (1 + np.arange(len(mean))) / len(mean)
                series.append(Series(method, done, mean, *_look(method)))
        if series:
            ends = ", ".join(f"{s.name} at {s.y[-1]:.2f}" for s in series)
            alt = f"Training loss, {title}; at the end {ends}."
            drawn = svg.lines(
                series, alt, "% of the stage's steps", "training loss"
            )
            panels.append({"title": title, "chart": drawn})
    return panels


def _flat(
    settings: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yields the settings' full names and values."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield prefix + name, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + name, str(value)


def _versions(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Returns the packages and machines that results were made with."""
    found: dict[str, set[str]] = {}
    for result in results:
        made = {"machine": result["machine"]} | result["versions"]
        for name, version in made.items():
            found.setdefault(name, set()).add(version)
    return [(name, " and ".join(sorted(v))) for name, v in found.items()]
