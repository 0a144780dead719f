"""How much the labels of a source can be believed.

This is confident learning (Northcutt, Jiang and Chuang 2021): an out-of-sample
probability of each class; a label is doubted if another class is more likely
among those that are at least as likely as is usual where they are the label.
The probabilities come from a linear discriminant analysis of features, which is
fitted on other images. The features are not: an encoder that has learned wrong
labels by heart makes them look right.
"""

import numpy as np
from sklearn import discriminant_analysis, model_selection

from tf_transfer.utils import checks, environment

_SHRINKAGE = 0.1


class LabelBeliefs:
    """Probabilities of given labels, and what these should be instead.

    Args:
        features: of a sample of the source, `[n, D]`.
        labels: of it, `[n]` class numbers.
        folds: of the cross-validation.
        seed: of the folds.

    Attributes:
        of_sample: beliefs and likely labels of the sample, as `__call__`
            returns them, each by a fit without it.
        classes: the class numbers that can be judged, `[K]`.
        thresholds: the mean belief in the labels of each of these, `[K]`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(400) % 2
    >>> features = rng.normal(7.0 * labels[:, None], 1.0)
    >>> given = np.where(np.arange(400) < 20, 1 - labels, labels)
    >>> beliefs, likely = LabelBeliefs(features, given).of_sample
    >>> bool(beliefs[:20].max() < 0.5 < beliefs[20:].mean())
    True
    >>> bool((likely[:20] == labels[:20]).all())
    True
    """

    @environment.one_thread()
    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        *,
        folds: int = 5,
        seed: int = 0,
    ):
        checks.check_labels(labels, 2**31)
        classes, counts = np.unique(labels, return_counts=True)
        # A class that a fold may lack cannot be judged.
        self.classes = classes[counts >= folds]
        judged = np.isin(labels, self.classes)
        self._model, probabilities = None, np.ones((len(features), 1))
        if len(self.classes) > 1 and features.var(axis=0).any():
            self._model = discriminant_analysis.LinearDiscriminantAnalysis(
                solver="lsqr", shrinkage=_SHRINKAGE
            )
            split = model_selection.StratifiedKFold(
                folds, shuffle=True, random_state=seed
            )
            probabilities = np.ones((len(features), len(self.classes)))
            probabilities[judged] = model_selection.cross_val_predict(
                self._model,
                features[judged],
                labels[judged],
                cv=split,
                method="predict_proba",
            )
            self._model.fit(features[judged], labels[judged])
        own = self._own(probabilities, labels)
        totals = np.bincount(
            np.searchsorted(classes, labels), own, minlength=len(classes)
        )
        self.thresholds = (totals / counts)[counts >= folds]
        self.of_sample = self._judged(probabilities, labels)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Judges the labels of other examples.

        Args:
            features: `[B, D]`.
            labels: `[B]`.

        Returns:
            The probabilities of the labels, `[B]` float32; and likely labels,
            `[B]` int32, which differ from the given where these are doubted.
            A label whose class is hardly in the sample is believed.
        """
        probabilities = np.ones((len(features), 1))
        if self._model is not None:
            probabilities = self._model.predict_proba(features)
        return self._judged(probabilities, labels)

    def _own(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns the probabilities of the given labels, `[B]`."""
        if self._model is None:
            return np.ones(len(labels))
        places = self._place_of(labels)
        own = np.take_along_axis(
            probabilities, np.maximum(places, 0)[:, None], axis=1
        )[:, 0]
        return np.where(places >= 0, own, 1.0)

    def _place_of(self, labels: np.ndarray) -> np.ndarray:
        """Returns the columns of labels; -1 for what cannot be judged."""
        if not len(self.classes):
            return np.full(len(labels), -1)
        places = np.searchsorted(self.classes, labels)
        near = self.classes[np.minimum(places, len(self.classes) - 1)]
        return np.where(near == labels, places, -1)

    def _judged(
        self, probabilities: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        own = self._own(probabilities, labels)
        likely = labels.astype(np.int32)
        if self._model is not None:
            usual = probabilities >= self.thresholds
            best = np.where(usual, probabilities, -1).argmax(axis=1)
            certain = usual.any(axis=1) & (self._place_of(labels) >= 0)
            likely = np.where(certain, self.classes[best], labels)
        return own.astype(np.float32), likely.astype(np.int32)
