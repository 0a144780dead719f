"""Successive halving: finds the method to use without training all of them.

Each seed is a round. The methods that are left are trained with it, and the
better half of them, by their validation images of all seeds so far, goes on
(Jamieson and Talwalkar 2016, section 2, with seeds as the resource). The
baseline always goes on, so that every gain is over the same seeds.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.results import Result

if TYPE_CHECKING:
    from tf_transfer.experiment.runner import Runner


@dataclasses.dataclass(frozen=True)
class Round:
    """What a seed has decided.

    Attributes:
        seed: the last seed that counts.
        accuracy: mean accuracy on the validation images of all seeds so far,
            in 0..1, of each method that was still in the race.
        kept: those that go on.
    """

    seed: int
    accuracy: dict[str, float]
    kept: tuple[str, ...]

    @classmethod
    def of(
        cls, results: Sequence[Result], methods: Sequence[str], seed: int
    ) -> "Round":
        """Keeps the better half of the methods.

        Args:
            results: of the methods for the seeds 0 to `seed`.
            methods: that are in the race.
            seed: the last one that counts.
        """
        ranking = statistics.ranking(results, methods)
        accuracy = {
            method: statistics.mean_validation(results, method)[0]
            for method in ranking
        }
        kept = tuple(ranking[: max(1, len(ranking) // 2)])
        return cls(seed, accuracy, kept)

    def __str__(self) -> str:
        found = [f"{m} {100 * a:.1f}" for m, a in self.accuracy.items()]
        goes = "go" if self.kept[1:] else "goes"
        return (
            f"seed {self.seed} of halving: {', '.join(found)} % of the "
            f"validation images; {' and '.join(self.kept)} {goes} on"
        )


def candidates(methods: Sequence[str]) -> tuple[str, ...]:
    """Returns the methods that may be chosen; the others are controls."""
    return tuple(m for m in methods if METHODS[m].candidate)


def search(runner: "Runner") -> tuple[tuple[str, ...], list[Round]]:
    """Trains the methods of an experiment, seed by seed, until one is left.

    Args:
        runner: of all seeds, in a folder that may hold results of rounds.

    Returns:
        The method that is left and the baseline, if there is one; and the
        rounds. If the seeds end first, the last one keeps the best method.
    """
    runner.settle_rate()
    methods, rounds = tuple(runner.config.methods), []
    for seed in runner.splits:
        runner.train_seed(seed, methods)
        results = [r for r in runner.folder.results if r.seed <= seed]
        first = statistics.baseline(results, methods)
        rivals = [m for m in methods if m != first]
        if not rivals:
            break
        found = Round.of(results, rivals, seed)
        if seed == max(runner.splits):
            found = dataclasses.replace(found, kept=found.kept[:1])
        rounds.append(found)
        methods = tuple(m for m in methods if m in (first, *found.kept))
        if not found.kept[1:]:
            break
    runner.progress.close()
    return methods, rounds
