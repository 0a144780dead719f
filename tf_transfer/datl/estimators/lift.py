"""How much more a target image looks like a class than a source image does.

A classifier that has seen little of its source predicts nearly the same shares
for all images, and is biased to some classes. The order of the images by its
output for one class still tells something: if a target image is among the top
of the source images, the class is worth learning from. So the outputs of a
class are compared with those of source images only, not with other classes.

Pure NumPy.
"""

import numpy as np

_POWER = 39  # about the top twentieth counts
_UNIT = 1e-5  # of the standardised outputs


class SourceOutputs:
    """The outputs of a classifier for source images, class by class.

    Args:
        logits: of a sample of source images, `[N, C]`; 2,000 are enough.

    Example:

    >>> logits = np.random.default_rng(0).normal(size=(2000, 8))
    >>> float(SourceOutputs(logits).lifts(logits).mean().round(1))
    1.0
    """

    def __init__(self, logits: np.ndarray):
        # Class by class, as it is searched.
        self._ordered = np.sort(_standardised(logits).T.copy(), axis=1)

    def lifts(self, logits: np.ndarray) -> np.ndarray:
        """Returns the lift of each class for some images, `[B, C]`.

        That is `40 u**39`, where u is the share of source images with a
        smaller output for the class, after the outputs of every image are
        brought to mean 0 and variance 1. Its mean over source images is 1;
        most of it comes from the top twentieth.

        Args:
            logits: of the images, `[B, C]`.
        """
        values = _standardised(logits).T.copy()
        below, count = np.empty(values.shape), self._ordered.shape[1]
        for ordered, value, found in zip(
            self._ordered, values, below, strict=True
        ):
            order = np.argsort(value)  # sorted values are found faster
            first = np.searchsorted(ordered, value[order], "left")
            last = np.searchsorted(ordered, value[order], "right")
            found[order] = (first + last) / (2 * count)
        return (_POWER + 1) * below.T**_POWER


def lift_prior(lifts: np.ndarray, source_prior: np.ndarray) -> np.ndarray:
    """Returns P_t in proportion to P_s and the mean lift of each class.

    Args:
        lifts: of target images, `[N, C]`.
        source_prior: P_s, `[C]`.

    Returns:
        P_t, `[C]`, sum 1.
    """
    prior = source_prior * lifts.mean(axis=0)
    total = prior.sum()
    return prior / total if total else source_prior


def _standardised(logits: np.ndarray) -> np.ndarray:
    """Returns the outputs of each image with mean 0 and variance 1, `[B, C]`.

    They are whole numbers of `_UNIT`, so that images that are alike stay so in
    any precision.
    """
    logits = np.asarray(logits, np.float64)
    centred = logits - logits.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    unit = _UNIT * np.where(spread > 0, spread, 1)
    return np.rint(centred / unit).astype(np.int32)
