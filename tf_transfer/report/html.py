"""report.html: one self-contained page with the results of a run."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tf_transfer.config import Experiment
from tf_transfer.data import check, splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods import METHODS, base
from tf_transfer.experiment.records import (
    forecast,
    label_check,
    loaded_data,
)
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.experiment.statistics import Row
from tf_transfer.report import charts, mistakes_section, svg, weights_section
from tf_transfer.report.markdown import stems
from tf_transfer.report.text import advice, labels_used, points
from tf_transfer.report.verdict import doubts
from tf_transfer.utils import progress
from tf_transfer.utils.escaping import printable

NAME = "report.html"


def write(
    run: str | os.PathLike,
    source: ImageData | None = None,
    target: ImageData | None = None,
) -> pathlib.Path:
    """Writes the report of a finished run from its folder.

    Args:
        run: the run's folder.
        source: the source images of the training; without them the report
            shows no source images.
        target: the whole target; without it the report shows no target
            images.

    Returns:
        The file, `report.html`.

    Raises:
        InputError: if the folder holds no finished run, or if a file is
            damaged.
    """
    return _write(FinishedRun.read(run), source, target)


def _write(
    run: FinishedRun, source: ImageData | None, target: ImageData | None
) -> pathlib.Path:
    page = _page(run, source, target)
    run.files.write(NAME, page.encode("utf-8", "backslashreplace"))
    return run.path / NAME


def rewrite(run: str | os.PathLike) -> pathlib.Path:
    """Writes the report again, with images if the data can be loaded.

    For arguments and errors, see `write`.
    """
    finished = FinishedRun.read(run)
    source = _reloaded(finished, "source")
    target = _reloaded(finished, "target")
    if source is not None:
        count = finished.config.data.source_per_class
        source = splits.trained_on(source, count)
    return _write(finished, source, target)


def _reloaded(run: FinishedRun, part: str) -> ImageData | None:
    try:
        return loaded_data.reload(run, part)
    except InputError as error:
        progress.warn(f"No images of the {part} are shown. {error}")
        return None


def _page(
    run: FinishedRun, source: ImageData | None, target: ImageData | None
) -> str:
    """Returns the page."""
    config, results = run.config, run.results
    methods = config.methods
    rows = statistics.summary(results, methods)
    chosen = next(row for row in rows if row.chosen)
    first = statistics.first_seed(results, chosen.method)
    split = target and loaded_data.split(run, target, first.seed)
    table, further = run.weight_table, config.pretraining
    before = _forecast(run)
    images, passes = further.steps * further.batch_size, None
    if run.data.counts.get("source") and config.datl.apply != "attach":
        passes = images / run.data.counts["source"]
    learned = [r for r in results if METHODS[r.method].learns_weights]
    predictions = run.predictions(first, split and len(split.test.labels))
    return _fill(
        title=f"{stems(run.data.source)} \u2192 {stems(run.data.target)}",
        setting=_setting(config, results),
        verdict=_verdict(results, methods, chosen),
        forecast=before.sentences() if before else [],
        doubts=doubts(before, len(table.ranking())) if before and table else [],
        rows=[_cells(row, run.config) for row in rows],
        seeds=config.seeds,
        gains=_gains(rows),
        chosen=chosen.method,
        base=statistics.base_of(rows),
        exported=first,
        weights=table
        and weights_section.estimated(
            table, source, split and split.labelled, passes
        ),
        learned=learned
        and weights_section.learned(learned, config.l2tl, table.class_names),
        mistakes=mistakes_section.section(
            predictions, run.data.class_names, split and split.test
        ),
        curves=_curves(results, methods),
        data=_data(run),
        labels=_labels(run, source),
        settings=list(
            _flat(
                dataclasses.asdict(config) | {"fingerprints": run.fingerprints}
            )
        ),
        versions=_versions(results),
    )


def _fill(**content) -> str:
    """Renders the template; names in the content are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(content)


def _finalize(value: Any) -> Any:
    """Escapes characters that no page should hold, but in what is HTML."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value) if is_text else value


def _forecast(run: FinishedRun) -> forecast.Forecast | None:
    """Returns the forecast from before the training, if there was one."""
    content = run.files.read_json(forecast.NAME, dict, forecast.MOST)
    if content is None:
        return None
    path = run.path / forecast.NAME
    return forecast.Forecast.from_json(content, path)


def _setting(config: Experiment, results: Sequence[Result]) -> str:
    data, seeds = config.data, config.seeds
    spent = progress.duration(sum(r.seconds for r in results))
    return (
        f"{labels_used(data)}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, "
        f"{spent} of training, summed over processes."
    )


def _verdict(
    results: Sequence[Result], methods: Sequence[str], chosen: Row
) -> list[str]:
    """Returns sentences, beginning with the choice."""
    sentences = advice(results, methods)
    if not sentences:
        return [
            f"By the validation images {chosen.method} is the choice.",
            "Whether a gain is significant is not known: that takes the method "
            "finetune_related, or finetune, and several seeds.",
        ]
    return [_typeset(s) for s in (sentences[-1], *sentences[:-1])]


def _typeset(text: str) -> str:
    return text.replace("+-", "\u00b1")


def _data(run: FinishedRun) -> dict[str, Any] | None:
    """Returns what the data check found; None for a run without one."""
    content = run.files.read_json(check.NAME, dict, check.MOST)
    if content is None:
        return None
    found = check.DataCheck.from_json(content, run.path / check.NAME)
    target, test = found.target, found.test
    return {
        "findings": found.findings(),
        "rows": [(name, n, test.get(name, 0)) for name, n in target.items()],
        "source": (len(found.source), sum(found.source.values())),
    }


def _labels(
    run: FinishedRun, source: ImageData | None
) -> dict[str, Any] | None:
    """Returns which labels of the source are in doubt, if that was asked."""
    content = run.files.read_json(label_check.NAME, dict, label_check.MOST)
    if content is None or run.weight_table is None:
        return None
    names = run.weight_table.class_names
    path = run.path / label_check.NAME
    found = label_check.LabelCheck.from_json(content, len(names), path)
    if source is not None and not found.is_of(source.labels):
        source = None
    return {
        "sentence": found.sentence(names),
        "images": source is not None
        and [
            {
                "image": svg.picture(source.images[[doubt.image]], most=96),
                "given": names[doubt.given],
                "likely": names[doubt.likely],
                "belief": doubt.belief,
            }
            for doubt in found.least
        ],
    }


def _cells(row: Row, config: Experiment) -> dict[str, Any]:
    gain = None
    if row.gain:
        gain = _typeset(points(row.gain.mean, row.gain.interval, sign=True))
    return {
        "method": row.method,
        "about": METHODS[row.method].about,
        "accuracy": _typeset(points(row.accuracy, row.interval)),
        "gain": gain,
        "seen": f"{base.source_images(config, row.method):,}",
        "minutes": f"{row.minutes:.1f}"
        if row.minutes >= 1
        else f"{row.minutes:.2f}",
        "chosen": row.chosen,
    }


def _gains(rows: Sequence[Row]) -> str | None:
    """Draws the gains over the baseline, if there are any."""
    if not any(row.gain for row in rows):
        return None
    return svg.dots(charts.gains(rows))


def _curves(
    results: Sequence[Result], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """Draws the training loss of every stage; lists it if there is little."""
    panels = []
    for chart in charts.learning_curves(results, methods):
        panel: dict[str, Any] = {"title": chart.title}
        if chart.is_short:
            longest = max((series.x for series in chart.series), key=len)
            panel["head"] = [f"{share:.0f}\u00a0%" for share in longest]
            panel["rows"] = [
                (series.name, [f"{loss:.3f}" for loss in series.y])
                for series in chart.series
            ]
        else:
            panel["chart"] = svg.lines(chart)
            panel["legend"] = [(s.name, svg.key(s)) for s in chart.series]
        panels.append(panel)
    return panels


def _flat(
    settings: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yields the full names and the values of the settings."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield prefix + name, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + name, str(value)


def _versions(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Returns the machines and the package versions of the results."""
    versions: dict[str, set[str]] = {}
    for result in results:
        machine = {"machine": result.machine or "unknown"}
        for name, version in (machine | result.versions).items():
            versions.setdefault(name, set()).add(version)
    return [(name, " and ".join(sorted(v))) for name, v in versions.items()]
