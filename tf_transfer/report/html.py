"""report.html: one self-contained page on a run, for who has to decide."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tf_transfer.data import splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment import run_data, statistics, weights_file
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.run_folder import FinishedRun, misfit
from tf_transfer.experiment.statistics import Result, Row
from tf_transfer.experiment.weights_file import WeightTable
from tf_transfer.report import (
    charts,
    mistakes_section,
    svg,
    weights_section,
)
from tf_transfer.report.markdown import stems
from tf_transfer.report.text import advice, points
from tf_transfer.utils import progress
from tf_transfer.utils.files import replacing

NAME = "report.html"


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
    table = None
    if uses_source:
        table = WeightTable.read_csv(run.path / weights_file.NAME)
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
        weights=table
        and weights_section.estimated(table, source, split and split.labelled),
        learned=learned
        and weights_section.learned(learned, config, table.class_names),
        mistakes=mistakes_section.section(said, names, split and split.test),
        curves=_curves(results, methods),
        legend=[(method, *charts.look(method)) for method in methods],
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
    """Draws the gains over fine-tuning, if there are any."""
    if not any(row.gain for row in rows):
        return None
    return svg.dots(charts.gains(rows))


def _curves(
    results: Sequence[Result], methods: Sequence[str]
) -> list[dict[str, str]]:
    """Draws the training loss of every stage."""
    return [
        {"title": chart.title, "chart": svg.lines(chart)}
        for chart in charts.learning_curves(results, methods)
    ]


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
