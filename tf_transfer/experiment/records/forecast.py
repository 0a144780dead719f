"""What a comparison will probably find, before it is trained.

The expected gain of DATL over `finetune_related` is, in points,

    GAIN * (1 - ESS) * (1 - source accuracy)**POWER

Weights that are nearly equal change nothing. Weights act early, and fade as the
network learns to separate its training data (Byrd and Lipton 2019): the source
accuracy of the generalist says how far it has come. The constants and the error
come from `tests/benchmarks/forecast.py`, which calibrates them on half of the
cells that it has measured, and tests them on the others and on the published
runs.
"""

import dataclasses
import os
from typing import Any

from tf_transfer.utils.messages import short_number
from tf_transfer.utils.storage.json_fields import Fields

NAME = "forecast.json"
MOST = 2**12  # bytes
GAIN = 8.5
POWER = 4.8
ERROR = 1.8
"""Standard deviation of measured around expected gains, in points."""
LEAST_GAIN = 1.0
"""Smaller gains are not significant with ten seeds."""
_LARGEST = 1e12
_OPTIONAL = ("repeats", "neighbours")
_LEAST_SKILL = 0.1
_FEW_LABELS = 60  # of a class, up to which a related head has gained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """The facts that decide whether choosing source data can help.

    Attributes:
        passes: how often the budget, the generalist's part included, covers
            the source.
        ess: effective share of the source that DATL draws from, in (0, 1].
        repeats: how often the weighted pre-training draws an image of that
            share, on average; None if it draws none by weight.
        source_accuracy: of the generalist on a sample of its source, in 0..1.
        images_per_parameter: source images of the budget per parameter.
        labels: labelled target images of a class, on average.
        neighbours: accuracy with which the nearest labelled target images by
            the generalist's features tell the class of the others, in 0..1;
            None if there is no label.
        chance: the accuracy of guessing.
    """

    passes: float
    ess: float
    repeats: float | None
    source_accuracy: float
    images_per_parameter: float
    labels: float
    neighbours: float | None
    chance: float

    @classmethod
    def from_json(cls, content: Any, path: str | os.PathLike) -> "Forecast":
        """Reads `forecast.json`; raises InputError for a damaged one."""
        fields = Fields(content, "forecast", path)
        names = [field.name for field in dataclasses.fields(cls)]
        values = {
            name: fields.number(name)
            for name in names
            if name not in _OPTIONAL or content.get(name) is not None
        }
        for name, value in values.items():
            if not 0 <= value < _LARGEST:
                fields.refuse(name, "a number from 0")
        for name in ("ess", "chance", "labels"):
            if not values[name]:
                fields.refuse(name, "positive")
        for name in ("ess", "chance", "neighbours", "source_accuracy"):
            if values.get(name, 0) > 1:
                fields.refuse(name, "at most 1")
        return cls(**dict.fromkeys(_OPTIONAL) | values)

    @property
    def sees_target(self) -> bool:
        """Whether the generalist's features tell the target's classes apart.

        Their accuracy must be more than a tenth of the way from chance to
        certainty. Without labels this is assumed.
        """
        if self.neighbours is None or self.chance == 1:
            return True
        skill = (self.neighbours - self.chance) / (1 - self.chance)
        return skill > _LEAST_SKILL

    @property
    def gain(self) -> float:
        """The expected gain of DATL over `finetune_related`, in points."""
        return self.expected(GAIN, POWER)

    def expected(self, gain: float, power: float) -> float:
        """Returns the gain that other constants would give, in points."""
        if not self.sees_target:
            return 0.0
        return gain * (1 - self.ess) * (1 - self.source_accuracy) ** power

    @property
    def helps(self) -> bool:
        """Whether DATL is expected to gain significantly."""
        return self.gain >= LEAST_GAIN

    def sentences(self) -> list[str]:
        """Returns the facts and the forecast in plain words."""
        lines = [
            f"Budget: {short_number(self.passes)} passes over the source, "
            f"{short_number(self.images_per_parameter)} images for each "
            "parameter."
        ]
        if self.repeats is not None:
            lines[0] += (
                " Weighted pre-training draws each image that it uses "
                f"{self.repeats:.1f} times."
            )
        if self.neighbours is not None:
            lines.append(
                "Nearest neighbours by the generalist's features: "
                f"{self.neighbours:.0%} of the labelled target images "
                f"({self.chance:.0%} by chance)."
            )
        else:
            lines.append(
                "Without labels it is not known whether the generalist tells "
                "the target's classes apart, as the forecast assumes."
            )
        low, high = self.gain - 2 * ERROR, self.gain + 2 * ERROR
        expected = (
            f"expected {self.gain:+.1f} points over fine-tuning with the same "
            f"head, from {low:+.1f} to {high:+.1f} in 95 of 100 cases"
        )
        likely = "likely" if self.helps else "not likely"
        lines.append(
            f"Forecast: weighting is {likely} to help ({expected}): "
            f"{self._reason()}."
        )
        if self.neighbours is not None and self.labels <= _FEW_LABELS:
            lines.append(
                "With so few labels, a related head is likely to help: it "
                "gained 1 to 9 points in eight of nine published pairs. "
                "Co-tuning is not: it gained in one of four, and lost in two."
            )
        return lines

    def _reason(self) -> str:
        if not self.sees_target:
            return (
                "the generalist's features hardly tell the target's classes "
                "apart, so that its weights mean little"
            )
        if self.helps:
            return (
                f"the weights choose {self.ess:.0%} of the source, of which "
                f"the generalist has learned {self.source_accuracy:.0%}"
            )
        if (1 - self.source_accuracy) ** POWER < 1 - self.ess:
            return (
                f"the generalist has learned {self.source_accuracy:.0%} of its "
                "source, which leaves little for weights to do"
            )
        return f"the weights choose as much as {self.ess:.0%} of the source"
