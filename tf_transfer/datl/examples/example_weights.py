"""One importance weight per source example, and the datasets they apply to.

`ExampleWeights` is to examples what `ImportanceWeights` is to classes, with
the same three ways to apply the weights: `attach`, `resample` and `draw`.
"""

import numpy as np
import tensorflow as tf

from tf_transfer.datl import diagnostics, resampling
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, tf_data

_STEPS = 50  # to find a scale


class ExampleWeights(tf.Module):
    """One importance weight per source example, ready for `fit`.

    The weight of an example x with the label y is

        w(x) = w(y) r(x) / mean of r over the examples labelled y,

    where w(y) is the weight of the class, and r(x) the ratio of the densities
    of target and source at x, times the belief in the label if there is one.
    The scores move weight within a class; the classes keep the shares that
    their own weights give them. Without labels, w(x) is r(x), scaled to mean 1.

    An example is known by its place: it is the n-th of the source. So a
    dataset must yield the examples in the order in which they were scored.
    Shuffle, repeat or drop examples after `attach`, not before.

    Args:
        num_examples: the number of source examples N.
        temper: exponent of the ratio; 0 gives equal weights.
        floor: the smallest ratio, from 0 to 1, after all are scaled so that
            their mean with `floor` and `clip` is 1.
        clip: the largest, likewise, 1 or more; None for no limit.

    Attributes:
        values: the weights, `[N]` float32, mean 1; all 1 until they are set.
        updates: how often the weights were set, int64.

    Raises:
        InputError: if an argument is out of range.

    Example:

    >>> examples = ExampleWeights(4, floor=0.0)
    >>> examples.update(
    ...     [1.0, 3.0, 1.0, 1.0], labels=[0, 0, 1, 1], class_weights=[1.5, 0.5])
    >>> examples.numpy().tolist()
    [0.75, 2.25, 0.5, 0.5]
    """

    def __init__(
        self,
        num_examples: int,
        *,
        temper: float = 1.0,
        floor: float = 0.1,
        clip: float | None = 10.0,
    ):
        super().__init__(name="example_weights")
        self.num_examples = checks.check_class_count(
            num_examples, "num_examples"
        )
        if not 0 <= temper < np.inf:
            raise InputError(
                f"`temper` must be finite and at least 0. Received: {temper=}"
            )
        if not 0 <= floor <= 1 or not (clip is None or clip >= 1):
            raise InputError(
                "`floor` must be from 0 to 1, and `clip` at least 1. "
                f"Received: {floor=}, {clip=}"
            )
        self.shaping = {"temper": temper, "floor": floor, "clip": clip}
        with tf.device("CPU"):  # where tf.data can read them
            self.values = tf.Variable(
                tf.ones([num_examples]), trainable=False, name="values"
            )
            self.updates = tf.Variable(
                0, trainable=False, dtype=tf.int64, name="updates"
            )

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"num_examples": self.num_examples, **self.shaping}

    @classmethod
    def from_config(cls, config: dict) -> "ExampleWeights":
        return cls(**config)

    def numpy(self) -> np.ndarray:
        """Returns the weights, `[N]` float32."""
        return self.values.numpy()

    def update(
        self,
        ratios: np.ndarray,
        *,
        beliefs: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        class_weights: np.ndarray | None = None,
    ):
        """Sets the weights from scores; see `score_examples`.

        Args:
            ratios: the densities' ratios P_t(x) / P_s(x), `[N]`, shaped by
                `temper`, `floor` and `clip`.
            beliefs: probabilities that the labels are right, `[N]`, as in
                `ExampleScores`; None for 1.
            labels: of the examples, `[N]` class numbers; None if they have
                none.
            class_weights: importance weights of the classes, `[C]`; None for
                equal ones. They need labels.

        Raises:
            InputError: if lengths do not fit, a score is negative or not
                finite, or all are 0.
        """
        scores = self._scores("ratios", ratios)
        scores = self._bounded(scores) ** self.shaping["temper"]
        if beliefs is not None:
            scores *= self._scores("beliefs", beliefs)
        if labels is not None:
            scores = self._in_classes(scores, np.asarray(labels), class_weights)
        elif class_weights is not None:
            raise InputError(
                "`class_weights` need `labels`. Received: labels=None"
            )
        self.assign(scores)

    def _bounded(self, ratios: np.ndarray) -> np.ndarray:
        """Returns ratios within the bounds, of mean 1 if that is possible.

        Were they scaled before they are cut off, a few very large ratios would
        push all the others to the floor.
        """
        low, high = self.shaping["floor"], self.shaping["clip"]
        scale = 1 / (ratios.mean() or 1)
        for _ in range(_STEPS):
            bounded = np.clip(scale * ratios, low, high)
            scale /= bounded.mean() or 1
        return bounded

    def _in_classes(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        class_weights: np.ndarray | None,
    ) -> np.ndarray:
        """Scales scores to mean 1 in each class, then weighs the classes."""
        if class_weights is None:
            class_weights = np.ones(int(labels.max(initial=0)) + 1)
        class_weights = checks.check_weights(class_weights)
        checks.check_labels(labels, len(class_weights))
        if labels.shape != scores.shape:
            raise InputError(
                f"There must be {self.num_examples} labels, one per example. "
                f"Received: {len(labels)}"
            )
        totals = np.bincount(labels, scores, minlength=len(class_weights))
        counts = np.bincount(labels, minlength=len(class_weights))
        # A class whose scores are all 0 keeps its share, in equal parts.
        scores = np.where(totals[labels] > 0, scores, 1.0)
        totals = np.where(totals > 0, totals, counts)
        scale = class_weights * counts / np.maximum(totals, 1e-300)
        return scores * scale[labels]

    def assign(self, values: np.ndarray):
        """Sets the weights to `values` `[N]`, scaled to mean 1.

        Raises:
            InputError: if there are not N values, a value is negative or not
                finite, or all are 0.
        """
        values = self._scores("values", values)
        if not values.any():
            raise InputError(
                "The weights of examples must not all be 0. "
                f"Received: {len(values)} zeros"
            )
        self.values.assign(values / values.mean())
        self.updates.assign_add(1)

    def _scores(self, name: str, values: np.ndarray) -> np.ndarray:
        """Returns one number of at least 0 per example, `[N]` float64."""
        values = np.array(values, np.float64)
        if values.shape != (self.num_examples,):
            raise InputError(
                f"`{name}` must have {self.num_examples} entries, one per "
                f"example. Received: shape {values.shape}"
            )
        wrong = values[~((values >= 0) & (values < np.inf))]
        if wrong.size:
            raise InputError(
                f"`{name}` must be finite and not negative. "
                f"Received: {wrong[0]}"
            )
        return values

    def attach(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the weights as sample weights: `(x, y)` to `(x, y, weight)`.

        The weights have mean 1, so Keras' default reduction keeps the scale of
        the loss.

        Args:
            dataset: one pass over all N examples, in order; single examples or
                batches.

        Raises:
            InputError: unless the dataset yields `(x, class number)` and ends.
            InvalidArgumentError: when it is read, if it has more than N
                examples.
        """
        tf_data.check_labelled(dataset, form="(x, class number)", pairs=True)
        tf_data.check_finite(dataset, "source dataset")
        return tf_data.numbered(dataset).map(
            lambda element, place: (*element, self._at(place)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def _at(self, places: tf.Tensor) -> tf.Tensor:
        """Looks up the weights of examples."""
        message = (
            f"The source must have {self.num_examples} examples, as many as "
            "there are weights. Received an example with the number"
        )
        known = tf.reduce_all(places < self.num_examples)
        with tf.control_dependencies(
            [tf.debugging.Assert(known, [message, places])]
        ):
            return tf.gather(self.values, places)

    def resample(
        self,
        dataset: tf.data.Dataset,
        *,
        seed: int,
        replacement: bool = True,
        rate: float = 1.0,
        block_size: int = 1024,
        start: int = 0,
    ) -> tf.data.Dataset:
        """Repeats and drops examples by weight; see `resampling.resample`.

        The dataset is repeated without end, with new choices in each pass, so
        give `fit` its `steps_per_epoch`. Copies of an example stay in its
        block, so where the source is in the order of its classes, `draw` from
        it, or shuffle the result.

        Args:
            dataset: one pass over all N examples, in order; single examples or
                batches.
            seed: of the choices.
            replacement: False for the elastic sampler.
            rate: expected length of a pass, relative to N.
            block_size: how many examples are chosen from together.
            start: how many elements of the result are skipped.

        Raises:
            InputError: unless the dataset yields `(x, class number)` and ends.
        """
        tf_data.check_labelled(dataset, form="(x, class number)", pairs=True)
        tf_data.check_finite(dataset, "source dataset")
        chosen = resampling.resample(
            tf_data.numbered(dataset).repeat(),
            self.values,
            seed=seed,
            replacement=replacement,
            rate=rate,
            block_size=block_size,
        )
        return chosen.map(lambda element, place: element).skip(start)

    def draw(
        self, *, batch_size: int, seed: int, start: int = 0
    ) -> tf.data.Dataset:
        """Draws endless batches of source indices; see `index_draw`.

        About 500 indices are drawn at a time, in O(N + indices log N) time.

        Args:
            batch_size: indices per batch.
            seed: of the draws.
            start: position of the first batch, to continue a run.

        Returns:
            A dataset of int64 indices `[batch_size]`.

        Raises:
            InputError: if an argument is out of range.
        """
        return resampling.index_draw(
            np.arange(self.num_examples),
            self.values,
            batch_size=batch_size,
            seed=seed,
            start=start,
        )

    def diagnostics(
        self, passes: float | None = None
    ) -> diagnostics.Diagnostics:
        """Returns the weights' diagnostics.

        Effective sample size, largest weight and repeats are as for classes;
        `entropy` is that of the drawn examples in nats, at most log N.

        Args:
            passes: how often a training draws as many examples as the source
                has, if that is known.
        """
        equal = np.full(self.num_examples, 1 / self.num_examples)
        return diagnostics.diagnose(
            (values := self.numpy().astype(np.float64)),
            values * equal,
            equal,
            passes=passes,
        )
