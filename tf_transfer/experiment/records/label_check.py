"""What a run found out about the labels of its source."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.datl.examples.scoring import ExampleScores
from tf_transfer.utils.storage.json_fields import Fields

NAME = "label_check.json"
MOST = 2**16  # bytes
_SHOWN = 12
_MOST_IMAGES = 10**12


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A source image whose label is doubted.

    Attributes:
        image: its number in the source, from 0 on, without its test part.
        given: the class number that it has.
        likely: the one that it should have.
        belief: probability that the given label is right, in 0..1.
    """

    image: int
    given: int
    likely: int
    belief: float


@dataclasses.dataclass(frozen=True)
class LabelCheck:
    """`label_check.json`: how many labels of the source are in doubt.

    Attributes:
        images: number of source images whose labels were judged.
        wrong: the share of wrong labels among these, as estimated; one can
            know that labels are wrong and not know which.
        doubted: number of those whose label is doubted.
        least: the least believed of these.
    """

    images: int
    wrong: float
    doubted: int
    least: list[Doubt]

    @classmethod
    def of(
        cls,
        scores: ExampleScores,
        labels: np.ndarray,
        places: np.ndarray | None = None,
    ) -> "LabelCheck":
        """Returns what scores with beliefs say about labels `[N]`.

        Args:
            scores: of the examples.
            labels: of them.
            places: their numbers in the source, `[N]`, if it has more images.
        """
        if places is None:
            places = np.arange(len(labels))
        doubted = np.flatnonzero(scores.likely_labels != labels)
        order = np.argsort(scores.beliefs[doubted], kind="stable")[:_SHOWN]
        return cls(
            len(labels),
            float(1 - np.mean(scores.beliefs, dtype=np.float64)),
            len(doubted),
            [
                Doubt(
                    int(places[i]),
                    int(labels[i]),
                    int(scores.likely_labels[i]),
                    float(scores.beliefs[i]),
                )
                for i in doubted[order]
            ],
        )

    @classmethod
    def from_json(
        cls, content: Any, classes: int, path: str | os.PathLike
    ) -> "LabelCheck":
        """Reads `label_check.json`; raises InputError for a damaged one.

        Args:
            content: of the file.
            classes: number of source classes.
            path: the file, for the error message.
        """
        fields = Fields(content, "label_check", path)
        images = fields.integer("images", 1, _MOST_IMAGES)
        doubted = fields.integer("doubted", 0, images)
        wrong = doubted / images
        if "wrong" in fields.content:  # else of a first version
            wrong = fields.between("wrong", 0, 1)
        listed = fields.content.get("least")
        count = min(doubted, _SHOWN)
        if not isinstance(listed, list) or len(listed) != count:
            fields.refuse("least", f"a list of {count}")
        least = []
        for each in listed:
            doubt = Fields(each, "label_check.least", path)
            least.append(
                Doubt(
                    doubt.integer("image", 0, _MOST_IMAGES),
                    doubt.integer("given", 0, classes - 1),
                    doubt.integer("likely", 0, classes - 1),
                    doubt.between("belief", 0, 1),
                )
            )
        return cls(images, wrong, doubted, least)

    def is_of(self, labels: np.ndarray) -> bool:
        """Whether it is of a source with these labels `[N]`."""
        return all(
            each.image < len(labels) and labels[each.image] == each.given
            for each in self.least
        )

    def sentence(self, names: Sequence[str]) -> str:
        """Says how many labels seem to be wrong, with an example."""
        if not self.wrong:
            return (
                f"none of the {self.images:,} source labels seems to be wrong"
            )
        text = (
            f"about {self.wrong:.0%} of the {self.images:,} source labels seem "
            f"to be wrong; {self.doubted:,} are in doubt"
        )
        if self.least:
            first = self.least[0]
            text += (
                f": image {first.image:,} has the label "
                f"{names[first.given]!r}, but looks like "
                f"{names[first.likely]!r}"
            )
        return text
