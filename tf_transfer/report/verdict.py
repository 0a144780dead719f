"""A first look at DATL's weights, in a few sentences for the terminal."""

from tf_transfer.datl.diagnostics import (
    Diagnostics,
    effective_classes,
)
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.utils.escaping import printable
from tf_transfer.utils.messages import short_number

_LISTED = 12
_ENOUGH = 0.2  # of the way from chance to an accuracy of 1


def verdict(
    table: WeightTable,
    diagnostics: Diagnostics,
    accuracy: float,
    forecast: Forecast | None,
) -> str:
    """Describes which source classes the target resembles.

    Args:
        table: the weights of one seed.
        diagnostics: of the same weights.
        accuracy: of the generalist on a sample of the source.
        forecast: of what choosing may gain, if there is one.
    """
    weight = table.mean("weight")
    names = [printable(name) for name in table.class_names]
    top = (f"{names[c]} {weight[c]:.1f}" for c in table.top(_LISTED))
    bottom = (names[c] for c in table.bottom(_LISTED))
    classes = effective_classes(table.mean("target_prior"))
    count = len(table.ranking())
    cut = ""
    if diagnostics.clipped:
        cut = f"; the clip cut off {diagnostics.clipped:.1%}"
    return "\n".join(
        [
            f"The target looks like about {classes:.0f} of {count} source "
            "classes.",
            f"Most like it (weight):  {'  '.join(top)}",
            f"Least like it:          {'  '.join(bottom)}",
            f"Effective sample size: {diagnostics.ess:.1%} of the source; "
            f"largest weight {diagnostics.largest:.1f}{cut}.",
            *_closing(diagnostics, accuracy, count),
            *(forecast.sentences() if forecast else ()),
        ]
    )


def _closing(
    diagnostics: Diagnostics, accuracy: float, classes: int
) -> list[str]:
    """Returns sentences on how far to trust the weights, and what to do."""
    weak = weak_generalist(accuracy, classes)
    if weak:
        return [f"Warning: {weak}"]
    advice = [f"Warning: {diagnostics.advice}"] if diagnostics.advice else []
    return [
        "The generalist's accuracy on its own source images is "
        f"{accuracy:.0%}. Do the classes above make sense to you?",
        *advice,
    ]


def doubts(forecast: Forecast, classes: int) -> list[str]:
    """Returns why the order of the source classes may mean little.

    Args:
        forecast: with what the generalist has learned.
        classes: of the source.
    """
    sentences = []
    if not forecast.sees_target:
        sentences.append(
            "The order of the classes may be no better than chance. The "
            "generalist's features hardly tell the target's classes apart: "
            f"{forecast.neighbours:.0%} of the labelled target images have "
            "their class by the nearest neighbours "
            f"({forecast.chance:.0%} by chance)."
        )
    weak = weak_generalist(forecast.source_accuracy, classes)
    return [*sentences, weak] if weak else sentences


def weak_generalist(accuracy: float, classes: int) -> str | None:
    """Returns a warning if the generalist is hardly better than chance.

    Args:
        accuracy: of the generalist on source images, as many of each class.
        classes: of the source.
    """
    chance = 1 / classes
    if accuracy - chance > _ENOUGH * (1 - chance) or classes == 1:
        return None
    return (
        "The generalist's accuracy on its own source images is only "
        f"{short_number(100 * accuracy)}% ({short_number(100 * chance)}% by "
        "chance), so its weights mean little, though their order may be right: "
        "train it longer "
        "(`generalist.passes`), start from a trained encoder, or try "
        "`datl.estimator=lift`."
    )
