"""Which model of a finished run to serve: candidates side by side. JSON.

python tests/benchmarks/exported_model.py runs/one runs/two

For the chosen method of each run (and for `finetune`) it measures on the test
images, which no candidate is chosen by:

`mean`           the mean over the models of all seeds, with its interval
`best`           the seed with the largest validation accuracy
`first`          the first seed
`nearest`        the seed whose probabilities of the target's other images are
                 nearest to their mean over seeds (Kullback-Leibler)
`weights`        one model with the mean of all seeds' weights
`ensemble`       the mean of all seeds' probabilities
`distilled`      the first seed's model, trained on by the ensemble's
                 probabilities of target and source images: what `compare`
                 exports

A run should have all its labels in use (`data.labels_per_class=0`), or the
seeds know different images.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scipy.special

from tf_transfer.commands import export, teaching
from tf_transfer.data import splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records import loaded_data
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.models import distillation

MOST = 2_000  # images by which models are compared


def logits_of(model: keras.Model, images: ImageData) -> np.ndarray:
    """Returns the outputs for all images, `[N, C]`."""
    unit = images.images.astype(np.float32) / 255
    return model.predict(unit, batch_size=512, verbose=0)


def accuracy(outputs: np.ndarray, images: ImageData) -> float:
    """Returns the share of images whose largest output is their class."""
    return float((outputs.argmax(axis=1) == images.labels).mean())


def probabilities(models, images: ImageData) -> np.ndarray:
    """Returns the mean of the models' probabilities, `[N, C]`."""
    return distillation.mean_probabilities(models, images.batches())


def nearest(models, images: ImageData) -> int:
    """Returns which model's probabilities are nearest to the models' mean."""
    each = np.array([probabilities([model], images) for model in models])
    mean = each.mean(axis=0)
    divergence = scipy.special.rel_entr(mean, each).sum(axis=2).mean(axis=1)
    return int(divergence.argmin())


def candidates(run: FinishedRun, method: str) -> dict[str, float]:
    """Returns the test accuracy of every candidate."""
    target = loaded_data.reload(run, "target")
    source = splits.trained_on(
        loaded_data.reload(run, "source"), run.config.data.source_per_class
    )
    results = [r for r in run.results if r.method == method]
    results.sort(key=lambda result: result.seed)
    models = [export.load(run, result) for result in results]
    parts = loaded_data.split(run, target, 0)
    test = parts.test
    tested = splits.test_part(target, run.config.data.test_share)
    others = np.setdiff1d(np.arange(len(target.labels)), tested)
    others = target.take(np.random.default_rng(0).permutation(others)[:MOST])
    alone = [accuracy(logits_of(model, test), test) for model in models]
    mean, interval = statistics.mean_interval(alone)
    averaged = export.load(run, results[0])
    every = zip(*(model.get_weights() for model in models), strict=True)
    averaged.set_weights([np.mean(arrays, axis=0) for arrays in every])
    best = max(
        results, key=lambda r: (r.validation.accuracy, -r.validation.loss)
    )
    student = teaching.student(run, results, source, parts)
    return {
        "mean": round(mean, 4),
        "interval": round(interval, 4),
        "best": round(alone[results.index(best)], 4),
        "first": round(alone[0], 4),
        "nearest": round(alone[nearest(models, others)], 4),
        "weights": round(accuracy(logits_of(averaged, test), test), 4),
        "ensemble": round(accuracy(probabilities(models, test), test), 4),
        "distilled": round(accuracy(logits_of(student, test), test), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    figures = {}
    for path in parser.parse_args().runs:
        run = FinishedRun.read(path)
        chosen = statistics.choose(run.results, run.config.methods)
        for method in dict.fromkeys([chosen, "finetune"]):
            figures[f"{path}, {method}"] = candidates(run, method)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
