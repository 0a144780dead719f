"""How much the labels of a source can be believed.

Given labels are a mixture: most are what a classifier of other images would
say, some are drawn by chance, whatever the image shows. The classifier is a
linear discriminant analysis of features, each image being judged by a fit
without it. Its evidence is tempered (Guo et al. 2017, "On calibration of modern
neural networks"). Temperature and the share of chance are those under which the
given labels are most likely. Only both together tell a wrong label from a hard
image: a classifier that is often wrong is tempered, not believed. There is no
chance without clear evidence that it explains more than temperatures that
differ from image to image, up to e times the best, as some are harder than
others.

Confident learning (Northcutt, Jiang and Chuang 2021) doubts a label if another
class is more likely than usual. It takes the errors of a weak classifier for
errors of the labels.
"""

import numpy as np
from scipy import optimize
from sklearn import discriminant_analysis, model_selection

from tf_transfer.datl.estimators import label_shift
from tf_transfer.utils import checks, environment

_SHRINKAGE = 0.1
_DOUBTED = 0.5
_MIXED = 2**19  # scores, for two parameters
_EVIDENCE = 5.0  # nats by which chance must make the labels likelier
_STEP = 0.25
_LOG_TEMPERATURES = np.arange(-3, 5 + _STEP, _STEP)
_HARDER = 4  # steps of temperature, to e times the best for all images
_ITERATIONS, _TOLERANCE = 3000, 1e-6


class LabelBeliefs:
    """Probabilities that given labels are right, and what else they could be.

    Args:
        features: of a sample of the source, `[n, D]`.
        labels: of it, `[n]` class numbers.
        folds: of the cross-validation.
        seed: of the folds.

    Attributes:
        of_sample: beliefs and likely labels of the sample, as `__call__`
            returns them, each by a fit without it.
        classes: the class numbers that can be judged, `[K]`.
        chance: the share of all labels that are drawn by chance, of each of
            these classes, `[K]`.
        temperature: by which the classifier's log probabilities are divided.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(400) % 2
    >>> features = rng.normal(7.0 * labels[:, None], 1.0)
    >>> given = np.where(np.arange(400) < 20, 1 - labels, labels)
    >>> beliefs, likely = LabelBeliefs(features, given).of_sample
    >>> bool(beliefs[:20].max() < 0.5 < beliefs[20:].min())
    True
    >>> bool((likely == labels).all())
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
        self.chance, self.temperature = np.zeros(len(self.classes)), 1.0
        judged = np.isin(labels, self.classes)
        own = np.ones(len(labels), np.float32)
        likely = labels.astype(np.int32)
        if len(self.classes) > 1 and features.var(axis=0).any():
            scores = self._fit(features[judged], labels[judged], folds, seed)
            own[judged], likely[judged] = self._judged(scores, labels[judged])
        self.of_sample = own, likely

    def _fit(
        self, features: np.ndarray, labels: np.ndarray, folds: int, seed: int
    ) -> np.ndarray:
        """Fits classifier and mixture; returns cross-fitted scores `[n, K]`."""
        model = discriminant_analysis.LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage=_SHRINKAGE
        )
        split = model_selection.StratifiedKFold(
            folds, shuffle=True, random_state=seed
        )
        scores = model_selection.cross_val_predict(
            model, features, labels, cv=split, method="decision_function"
        )
        model.fit(features, labels)
        linear = model.coef_.T, model.intercept_
        if len(self.classes) == 2:  # there is but the second's score
            scores, *linear = (
                np.stack([np.zeros_like(part), part], axis=-1)
                for part in (scores, linear[0][:, 0], linear[1][0])
            )
        # In float32, as the features are.
        self._linear = [part.astype(features.dtype) for part in linear]
        places = np.searchsorted(self.classes, labels)
        self._prior = np.bincount(places) / len(places)
        self.temperature, share = _mixture(scores, places, self._prior)
        self.chance = share * self._prior
        return scores

    def __call__(
        self, features: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Judges the labels of other examples.

        Args:
            features: `[B, D]`.
            labels: `[B]`.

        Returns:
            The probabilities that the labels are right, `[B]` float32; and
            likely labels, `[B]` int32: where its probability is below a half
            what the classifier says, else the given one. A label whose class
            is hardly in the sample is believed.
        """
        own = np.ones(len(labels), np.float32)
        likely = labels.astype(np.int32)
        judged = np.isin(labels, self.classes)
        if self.chance.any() and judged.any():
            weights, offsets = self._linear
            scores = features[judged] @ weights + offsets
            own[judged], likely[judged] = self._judged(scores, labels[judged])
        return own, likely

    def _judged(
        self, scores: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns beliefs and likely labels; all labels are in `classes`."""
        places = np.searchsorted(self.classes, labels)
        drawn = self.chance
        right = _own(scores, places, self._prior, self.temperature)
        meant = 1 - drawn.sum()
        # Chance draws right labels, too.
        own = right * (meant + drawn[places]) / (meant * right + drawn[places])
        best = self.classes[scores.argmax(axis=1)]
        return own, np.where(own < _DOUBTED, best, labels)


def _mixture(
    scores: np.ndarray, places: np.ndarray, prior: np.ndarray
) -> tuple[float, float]:
    """Returns temperature and share of chance of the greatest likelihood.

    Args:
        scores: log probabilities of the classes but for constants, `[n, K]`.
        places: of the given labels among the classes, `[n]`.
        prior: shares of the classes, `[K]`.
    """
    step = max(1, scores.size // _MIXED)
    scores, places = scores[::step], places[::step]
    by_chance = prior[places]

    def tempered(log_temperature: float) -> np.ndarray:
        return _own(scores, places, prior, np.exp(log_temperature))

    def with_chance(own: np.ndarray) -> tuple[np.ndarray, float]:
        return _fitted(np.vstack([own, by_chance]))

    own = np.stack([tempered(each) for each in _LOG_TEMPERATURES])
    best = int(np.argmax([with_chance(each)[1] for each in own]))
    of_images = own[: best + 1 + _HARDER]
    alone = np.log(own).sum(axis=1)
    without = max(_fitted(of_images)[1], alone.max())
    if with_chance(of_images)[1] - without <= _EVIDENCE:
        return float(np.exp(_LOG_TEMPERATURES[alone.argmax()])), 0.0
    start = _LOG_TEMPERATURES[best]
    found = optimize.minimize_scalar(
        lambda each: -with_chance(tempered(each))[1],
        bounds=(start - _STEP, start + _STEP),
        method="bounded",
        options={"xatol": 0.01},
    )
    (_, chance), _ = with_chance(tempered(found.x))
    return float(np.exp(found.x)), float(chance)


def _fitted(likelihoods: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the likeliest shares of some causes, and the log likelihood.

    Args:
        likelihoods: of every label, by its cause, `[T, n]`.
    """
    causes, count = likelihoods.shape
    (shares,) = label_shift.maximise(
        likelihoods.T,
        np.full((1, count), 1 / count),
        np.full((1, causes), 1 / causes),
        _ITERATIONS,
        _TOLERANCE,
    )
    return shares, float(np.log(shares @ likelihoods).sum())


def _own(
    scores: np.ndarray,
    places: np.ndarray,
    prior: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """Returns the tempered probabilities of given labels, `[n]`.

    Temperature divides the evidence alone: at the highest, the prior is left.
    """
    prior = np.log(prior).astype(scores.dtype)
    scores = (scores - prior) / temperature + prior
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores, out=scores)
    given = np.take_along_axis(odds, places[:, None], axis=1)[:, 0]
    return np.maximum(given / odds.sum(axis=1), np.finfo(np.float32).tiny)
