"""Where choosing source data pays: a broad source, and a budget below it.

python tests/benchmarks/regime.py --target=vehicles --passes=.5 --seeds=10

The source are the 300 classes of Tiny-ImageNet and CIFAR-100 at 32 pixels,
120,000 images; for a target of digits also MNIST, letters, Fashion-MNIST and
notMNIST, 356 classes of at most 500 images each. A generalist passes over a
share of the budget; the rest continues it on the whole source, or on a weighted
part of it. All arms have the same number of source images, the generalist's
included, and the related head. Prints a line of JSON: the test accuracies of
each seed, the gains over the whole source with 95 % intervals, and the area
under the ROC curve with which the weights tell the related classes.
`--page=FOLDER` makes a document of the lines in its `regime.jsonl`.

It needs `../shared/data`; run it from the project's root.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import numpy as np
import regime_page

import tf_transfer as tt
from tf_transfer import config as config_lib
from tf_transfer.config import Datl
from tf_transfer.datl.estimation import estimate_target_prior
from tf_transfer.experiment import statistics
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base, baselines
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.datl import pretrain_to
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.source_parts import SourceParts

DATA = "../shared/data"
PHOTOGRAPHS = (
    f"tfrecord:{DATA}/tiny_imagenet_32.tfrecord+npz:{DATA}/cifar100.npz"
)
GLYPHS = "".join(
    f"+npz:{DATA}/{name}.npz"
    for name in ("mnist", "emnist_letters", "fashion_mnist", "notmnist")
)
CLASSES = {
    "vehicles": ("airplane", "automobile", "ship", "truck"),
    "animals": ("bird", "cat", "deer", "dog", "frog", "horse"),
}
DIGITS = ("usps", "mnist_m")
# By their names, decided before any training.
RELATED = {
    "vehicles": (
        "beach_wagon bullet_train convertible freight_car go_kart gondola "
        "jinrikisha lawn_mower lifeboat limousine moving_van police_van "
        "school_bus sports_car tractor trolleybus "
        "bicycle bus motorcycle pickup_truck rocket streetcar tank train"
    ),
    "animals": (
        "european_fire_salamander bullfrog tailed_frog goose koala "
        "black_stork king_penguin albatross chihuahua yorkshire_terrier "
        "golden_retriever labrador_retriever german_shepherd standard_poodle "
        "tabby persian_cat egyptian_cat cougar lion brown_bear guinea_pig hog "
        "ox bison bighorn gazelle arabian_camel orangutan chimpanzee baboon "
        "african_elephant lesser_panda "
        "bear beaver camel cattle elephant fox hamster kangaroo leopard mouse "
        "otter porcupine possum rabbit raccoon shrew skunk squirrel tiger wolf"
    ),
} | dict.fromkeys(DIGITS, "0 1 2 3 4 5 6 7 8 9")
CELL = (
    *("target", "labels", "passes", "share", "width", "seeds", "start"),
    "growing",
)
REPEATS = 4.0
WHOLE = baselines.finetune_related.name


def arm(train) -> base.Method:
    """Registers an arm: a further pre-training by weights of its own."""
    name = train.__name__

    def run(seed_run: SeedRun) -> Outcome:
        return seed_run.finetune(train(seed_run), "related")

    run.__name__, run.__doc__ = name, train.__doc__
    return register(
        stages=lambda config: (
            base.whole_source(config)
            | {f"{name}/pretraining": config.pretraining.steps}
            | base.tuning(config, name)
        ),
        candidate=True,
        family="datl",
    )(run)


def most(run: SeedRun) -> float:
    """Returns the weight at which an image is drawn `REPEATS` times."""
    return REPEATS / run.passes


@arm
def ratio(run: SeedRun):
    """The paper's weights."""
    return run.pretrain(run.importance())


@arm
def capped(run: SeedRun):
    """The paper's weights, at most four repeats."""
    return run.pretrain(run.importance(most=most(run)))


@arm
def cut(run: SeedRun):
    """The classes of the largest weights, as many as four repeats ask for."""
    return run.pretrain(run.importance(temper=np.inf, most=most(run)))


@arm
def sharp(run: SeedRun):
    """The paper's weights to the third power, at most four repeats."""
    return run.pretrain(run.importance(temper=3.0, most=most(run)))


@arm
def lift_ratio(run: SeedRun):
    """The weights of the estimator `lift`."""
    return pretrain_to(run, lift_prior(run))


@arm
def lift_cut(run: SeedRun):
    """The classes of the largest lift, as many as four repeats ask for."""
    return fixed(run, lift_prior(run) / run.source.prior)


def lift_prior(run: SeedRun) -> np.ndarray:
    """Returns P_t by the estimator `lift`."""
    parts = SourceParts.of(run.source, Datl(estimator="lift"), run.seed)
    with run.models.generalist.loaded(run.train_generalist()) as model:
        return estimate_target_prior(
            model,
            run.target.for_prior.batches(),
            run.source.prior,
            estimator="lift",
            held_out=parts.compared,
            bootstrap=0,
        ).prior


@arm
def random_cut(run: SeedRun):
    """Control: as many classes as `cut` takes, drawn at random."""
    shares = np.random.default_rng(run.seed).random(run.source.num_classes)
    return fixed(run, shares)


@arm
def related(run: SeedRun):
    """The classes that are related by their names."""
    names = run.config.relevant
    return fixed(run, np.isin(run.source.class_names, names).astype(float))


def fixed(run: SeedRun, scores: np.ndarray):
    """Pre-trains on the classes with the largest scores."""
    settings = {"temper": np.inf, "most": most(run)}
    if set(np.unique(scores)) <= {0.0, 1.0}:
        settings = {"temper": 1.0}
    return pretrain_to(run, run.source.prior * scores, **settings)


ARMS = (ratio, capped, sharp, cut, lift_ratio, lift_cut, random_cut, related)


def data(options: argparse.Namespace) -> config_lib.Data:
    """Returns source and target of a cell."""
    common = {
        "image_size": 32,
        "channels": 3,
        "labels_per_class": options.labels,
    }
    if options.target in DIGITS:
        return config_lib.Data(
            source=PHOTOGRAPHS + GLYPHS,
            target=f"npz:{DATA}/{options.target}.npz",
            source_per_class=500,
            augment="none",
            **common,
        )
    return config_lib.Data(
        source=PHOTOGRAPHS,
        target=f"npz:{DATA}/cifar10.npz",
        target_classes=CLASSES[options.target],
        **common,
    )


def settings(options: argparse.Namespace) -> config_lib.Experiment:
    """Returns the experiment of a cell."""
    passes = options.passes
    shares = options.share * passes, (1 - options.share) * passes
    generalist, further = (config_lib.Training(passes=p) for p in shares)
    return config_lib.Experiment(
        data=data(options),
        encoder=config_lib.Encoder(width=options.width),
        generalist=generalist,
        pretraining=further,
        finetuning=config_lib.FineTuning(head="related"),
        datl=Datl(start=options.start, growing=options.growing),
        methods=(WHOLE, *options.arms),
        seeds=options.seeds,
        relevant=tuple(RELATED[options.target].split()),
    )


def figures(run: Run) -> dict:
    """Returns the accuracies of the arms, and their gains."""
    rows = {}
    for name in run.config.methods:
        results = [r for r in run.results if r.method == name]
        results.sort(key=lambda result: result.seed)
        row = {"accuracy": [round(r.test.accuracy, 4) for r in results]}
        row["mean"] = round(float(np.mean(row["accuracy"])), 4)
        row |= cells.gain(run, name, WHOLE)
        weights = [r.weights for r in results if r.weights is not None]
        if weights and name not in ("related", "random_cut"):
            row["area"] = area(run, np.array(weights))
        rows[name] = row
    return rows


def area(run: Run, weights: np.ndarray) -> float:
    """Returns the area under the ROC curve of the related classes."""
    names = WeightTable.read_csv(run.files).class_names
    relevant = np.isin(names, run.config.relevant)
    areas = [statistics.roc_area(relevant, each) for each in weights]
    return round(float(np.mean(areas)), 3)


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--target", choices=RELATED, default="vehicles")
    flags.add_argument("--labels", type=int, default=20)
    flags.add_argument("--passes", type=float, default=0.5)
    flags.add_argument(
        "--share", type=float, default=0.3, help="of the generalist"
    )
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument("--seeds", type=int, default=10)
    flags.add_argument("--start", default="generalist")
    flags.add_argument("--growing", type=int, default=0, help="epochs")
    flags.add_argument("--jobs", type=int, default=2)
    flags.add_argument("--arms", nargs="+", default=[a.name for a in ARMS])
    flags.add_argument("--page", type=pathlib.Path)
    flags.add_argument("--out", default="runs/regime")
    return flags


def write_page(folder: pathlib.Path) -> None:
    """Writes `regime.md` and its figure from the cells of `regime.jsonl`."""
    found = regime_page.read(folder / "regime.jsonl")
    picture = pathlib.Path("docs/pictures/regime.png")
    regime_page.draw(found, picture)
    text = regime_page.page(found, f"../../{picture}")
    (folder / "regime.md").write_text(text)


def main() -> None:
    options = parser().parse_args()
    if options.page:
        write_page(options.page)
        return
    cell = (
        f"{options.target}_{options.labels}_{options.passes:g}"
        f"_{options.share:g}_w{options.width}_{options.start}"
        f"_{options.growing}"
    )
    folder = pathlib.Path(options.out) / cell
    started = time.monotonic()
    tt.compare(settings(options), folder, quiet=True, jobs=options.jobs)
    print(
        json.dumps(
            {
                "cell": {name: getattr(options, name) for name in CELL},
                "minutes": round((time.monotonic() - started) / 60, 1),
                "arms": figures(Run.read(folder)),
            }
        )
    )


if __name__ == "__main__":
    main()
