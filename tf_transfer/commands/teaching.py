"""The model to serve: one that learns from those of all seeds."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.data import shuffling
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.experiment.records.results import Result, Scores
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.models import classifiers, distillation
from tf_transfer.models.inference import stream_outputs
from tf_transfer.utils import tf_data
from tf_transfer.utils.progress import note
from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.storage.json_fields import Fields

NAME = "taught.json"
MOST = 2**16  # bytes of it
MODEL = "checkpoints/taught.keras"
_MOST_SOURCE = 20_000  # images
_MOST_STEPS = 1_000
_TIMES = 10  # those of fine-tuning


@dataclasses.dataclass(frozen=True)
class Taught:
    """`taught.json`: what is known of the model that all seeds have taught.

    Attributes:
        method: whose models they are.
        seeds: of these models.
        test: its scores on the test images.
    """

    method: str
    seeds: list[int]
    test: Scores

    @classmethod
    def read(cls, files: Folder) -> "Taught | None":
        """Reads it from the folder of a run; None if it is absent.

        Raises:
            InputError: if the file holds something else.
        """
        content = files.read_json(NAME, dict, MOST)
        if content is None or not files.has(MODEL):
            return None
        fields = Fields(content, "taught", files.path / NAME)
        seeds = [int(seed) for seed in fields.numbers("seeds")]
        test = Scores.from_fields(fields.object("test"))
        return cls(fields.text("method"), seeds, test)


def teach(
    folder: RunFolder,
    run: FinishedRun,
    members: list[Result],
    source: ImageData,
    split: TargetSplit,
) -> None:
    """Writes the model that all seeds of a method teach, and tests it.

    Args:
        folder: of the run.
        run: the same, finished.
        members: the results of a method's seeds, two or more.
        source: the source images that were trained on.
        split: the target's parts for the first seed.
    """
    note(f"teaching one model what those of {len(members)} seeds know", 1.0)
    model = student(run, members, source, split)
    with folder.files.replacing(MODEL) as partial:
        model.save(partial)
    outputs = stream_outputs(model, split.test.batches())
    logits = np.concatenate([rows for rows, _ in outputs])
    test = Scores.of(logits, split.test.labels)
    seeds = [member.seed for member in members]
    content = {"method": members[0].method, "seeds": seeds}
    folder.write(NAME, content | {"test": test.to_json()})


def student(
    run: FinishedRun,
    members: list[Result],
    source: ImageData,
    split: TargetSplit,
) -> keras.Model:
    """Trains the first seed's model by the probabilities of all seeds'.

    Each step takes as many images of the target, outside its test part and with
    those that have no labels, as of the source. What this gains is measured by
    `tests/benchmarks/exported_model.py`. For the arguments, see `teach`.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(source.labels))[:_MOST_SOURCE]
    parts = split.for_prior, source.take(np.sort(order))
    share = max(1, run.config.pretraining.batch_size // len(parts))
    mixed = tf.data.Dataset.zip(
        *(_taught_by(run, members, images, share) for images in parts)
    ).map(
        lambda *pairs: tuple(
            tf.concat(columns, axis=0) for columns in zip(*pairs, strict=True)
        )
    )
    model = load(run, members[0])
    steps = min(_MOST_STEPS, _TIMES * run.config.finetuning.steps)
    distillation.distil(model, tf_data.quiet(mixed), steps)
    return model


def load(run: FinishedRun, result: Result | None):
    """Returns the trained model of a result, or the one that all taught."""
    path = run.files.below(MODEL) if result is None else run.model_path(result)
    return classifiers.load_classifier(
        str(path), run.data.image_shape, len(run.data.class_names)
    )


def _taught_by(
    run: FinishedRun, members: list[Result], images: ImageData, size: int
) -> tf.data.Dataset:
    """Returns endless batches of images, and what all models say of them."""
    teachers = (load(run, result) for result in members)
    targets = distillation.mean_probabilities(teachers, images.batches())
    count = len(images.labels)
    order = shuffling.shuffled(count, batch_size=size, seed=0)
    return tf.data.Dataset.zip(images.gather(order), order).map(
        lambda pair, index: (pair[0], tf.gather(targets, index))
    )
