"""How much more often the target than the source looks like an example.

A classifier that tells target from source features gives the ratio of their
densities: where both count equally, the ratio is its odds (Sugiyama, Suzuki
and Kanamori 2012, chapter 4). A linear classifier is regularised as
cross-validation chooses. Examples that it was fitted on are scored by fits on
the others, since it knows its own examples to be source.
"""

import numpy as np
from sklearn import linear_model, model_selection, pipeline, preprocessing

from tf_transfer.utils import environment

_STRENGTHS = np.logspace(-4, 1, 6)
_STEPS = 300
_LARGEST = 50.0  # of a log ratio, far from the bounds of floats


class DensityRatio:
    """The ratio of the densities of target and source features.

    Args:
        source: features of a sample of the source, `[n, D]`.
        target: features of the target, `[m, D]`, two or more.
        folds: of the cross-validation; fewer if there are fewer images.
        seed: of the folds.

    Attributes:
        of_sample: the ratios of the sample `[n]`, each by a fit without it.
        coefficients: of the fit on all features, `[D + 1]`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> ratio = DensityRatio(rng.normal(0, 1, (500, 1)),
    ...                      rng.normal(1, 1, (500, 1)))
    >>> low, high = ratio(np.array([[-1.0], [2.0]]))
    >>> bool(low < 0.5 < 2 < high)  # exp(-1.5) and exp(1.5) by hand
    True
    """

    @environment.one_thread()
    def __init__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        *,
        folds: int = 5,
        seed: int = 0,
    ):
        folds = max(2, min(folds, len(source), len(target)))
        split = model_selection.StratifiedKFold(
            folds, shuffle=True, random_state=seed
        )
        features = np.concatenate([source, target]).astype(np.float64)
        is_target = np.repeat([0, 1], [len(source), len(target)])
        scaler = preprocessing.StandardScaler().fit(features[: len(source)])
        search = model_selection.GridSearchCV(
            linear_model.LogisticRegression(
                class_weight="balanced", max_iter=_STEPS
            ),
            {"C": _STRENGTHS},
            scoring=_balanced_log_loss,
            cv=split,
        )
        search.fit(scaler.transform(features), is_target)
        self._model = pipeline.make_pipeline(scaler, search.best_estimator_)
        decisions = model_selection.cross_val_predict(
            search.best_estimator_,
            scaler.transform(features),
            is_target,
            cv=split,
            method="decision_function",
        )
        self.of_sample = _odds(decisions[: len(source)])
        last = search.best_estimator_
        self.coefficients = np.append(last.coef_, last.intercept_)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns the ratios at features `[B, D]`, `[B]` float32."""
        return _odds(self._model.decision_function(features))


def _odds(decisions: np.ndarray) -> np.ndarray:
    """Returns odds from log odds, in float32."""
    return np.exp(np.clip(decisions, -_LARGEST, _LARGEST)).astype(np.float32)


def _balanced_log_loss(
    model: linear_model.LogisticRegression,
    features: np.ndarray,
    is_target: np.ndarray,
) -> float:
    """Returns minus the log loss, where source and target count equally."""
    signs = np.where(is_target, -1.0, 1.0)
    losses = np.logaddexp(0, signs * model.decision_function(features))
    return -sum(losses[is_target == kind].mean() for kind in (0, 1))
