"""What tests share: small data, models, experiments and commands."""

import contextlib
import copy
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer import config as config_lib
from tf_transfer.commands import main
from tf_transfer.data import splits
from tf_transfer.experiment import compiled_models
from tf_transfer.experiment.records.results import Result, Scores
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.l2tl.types import Transition

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def blobs(
    per_class: int = 30, classes: int = 4, seed: int = 0, size: int = 8
) -> tt.ImageData:
    """Images whose class is the place of a bright square, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes, dtype=np.int32), per_class)
    images = rng.integers(0, 60, (len(labels), size, size, 1))
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label) % 4, 2)
        square = image[row * half :, column * half :][:half, :half]
        square += 60 + 60 * (label // 4)
    names = [f"class {c}" for c in range(classes)]
    return tt.ImageData(images.astype(np.uint8), labels, names)


def weight_table(values, seed: int = 0, learned=()) -> WeightTable:
    """Weights of one seed, for equally frequent classes.

    Those that the methods in `learned` have learned are all 1.
    """
    weight = np.array([values], float)
    prior = np.full_like(weight, 1 / len(values))
    columns = {
        "source_prior": prior,
        "target_prior": weight * prior,
        "target_prior_low": 0.5 * weight * prior,
        "target_prior_high": 1.5 * weight * prior,
        "weight": weight,
    } | {f"{method}_weight": np.ones_like(weight) for method in learned}
    names = [f"class {c}" for c in range(len(values))]
    return WeightTable(names, [seed], columns)


def tiny_experiment(**changes) -> config_lib.Experiment:
    """An experiment of a few steps a stage."""
    settings = {
        "data": config_lib.Data(
            image_size=8,
            channels=1,
            augment="none",
            labels_per_class=4,
            validation_per_class=2,
        ),
        "encoder": config_lib.Encoder(width=4, form="flat"),
        "generalist": config_lib.Training(
            steps=20, batch_size=16, learning_rate=0.05
        ),
        "optimizer": "sgd",
        "pretraining": config_lib.Training(
            steps=4, batch_size=16, learning_rate=0.05
        ),
        "finetuning": config_lib.FineTuning(
            steps=4, batch_size=8, learning_rates=(0.02,)
        ),
        "l2tl": config_lib.L2tl(steps=4, policy_warmup=1, learning_rate=0.02),
        "seeds": 1,
    }
    return config_lib.Experiment(**settings | changes)


def run_on_digits(folder: pathlib.Path, *methods: str) -> pathlib.Path:
    """A finished run of two seeds on a named target, digits in 0..16."""
    config = tiny_experiment(methods=methods, seeds=2)
    digits = tt.load("digits", 8, 1).take(np.arange(200))
    turned = digits.images.swapaxes(1, 2)  # else it would hold test images
    source = tt.ImageData(turned, digits.labels, digits.class_names)
    tt.compare(config, folder, source=source, quiet=True)
    return folder


def tiny_command(
    folder: pathlib.Path,
    out: str = "run",
    methods: tuple[str, ...] = ("finetune", "l2tl"),
) -> list[str]:
    """A `compare` of a few seconds of steps, on data of its own."""
    for name, classes, seed in (("source", 8, 0), ("target", 4, 1)):
        data = blobs(per_class=20, classes=classes, seed=seed)
        np.savez(
            folder / f"{name}.npz",
            x_train=data.images,
            y_train=data.labels,
            class_names=np.array(data.class_names),
        )
    settings = {
        "data.source": f"npz:{folder}/source.npz",
        "data.target": f"npz:{folder}/target.npz",
        "data.image_size": 8,
        "data.channels": 1,
        "data.labels_per_class": 4,
        "data.validation_per_class": 2,
        "encoder.width": 4,
        "generalist.steps": 40,
        "generalist.batch_size": 16,
        "generalist.learning_rate": 0.05,
        "pretraining.steps": 20,
        "pretraining.batch_size": 16,
        "pretraining.learning_rate": 0.05,
        "finetuning.steps": 20,
        "finetuning.batch_size": 8,
        "l2tl.steps": 20,
        "l2tl.policy_warmup": 2,
        "checkpoint_every": 5,
        "seeds": 1,
    }
    return [
        sys.executable,
        "-m",
        "tf_transfer.cli",
        "compare",
        f"--out={folder / out}",
        f"--config.methods={methods}",
        *(f"--config.{name}={value}" for name, value in settings.items()),
    ]


@contextlib.contextmanager
def started(
    command: list[str], **environment: str
) -> Iterator[subprocess.Popen]:
    """Starts a command, whose text is to be read, and ends it in any case."""
    child = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def ended(child: subprocess.Popen, timeout: float) -> tuple[int, str]:
    """Waits for a command; returns its status and standard error."""
    note = ""
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        note = f"killed after {timeout:.0f} seconds"
    _, errors = child.communicate()
    return child.returncode, errors + note


def checkpoints(out: pathlib.Path) -> set[pathlib.Path]:
    """Returns those of the stages of a run."""
    return set(out.glob("checkpoints/stages/*/*/step-*.index"))


def wait_for_a_checkpoint(
    out: pathlib.Path, besides: set[pathlib.Path] = frozenset()
) -> None:
    """Waits until a run has written one, besides those given."""
    until = time.monotonic() + 200
    while not checkpoints(out) - besides:
        assert time.monotonic() < until, f"no checkpoint in {out}"
        time.sleep(0.05)


def same_models(one: pathlib.Path, other: pathlib.Path, atol: float) -> None:
    """Asserts that two runs kept the same models, to `atol`."""
    names = sorted(path.name for path in one.glob("checkpoints/*.keras"))
    assert names
    for name in names:
        weights, expected = (
            keras.saving.load_model(
                run / "checkpoints" / name, compile=False
            ).get_weights()
            for run in (one, other)
        )
        for a, b in zip(weights, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def tiny_classifier(classes: int = 4, size: int = 8) -> keras.Model:
    """A small built classifier that returns logits."""
    model = tt.classifier(tt.small_encoder((size, size, 1), 4), classes)
    model.build((None, size, size, 1))
    return model


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@functools.cache
def shared_models() -> compiled_models.CompiledModels:
    """The models of the unchanged experiment, traced once for all tests."""
    models = compiled_models.CompiledModels(tiny_experiment(), (8, 8, 1), 8, 4)
    # The copies that tests make share them.
    _ = models.joint, models.learner, models.co_tuned
    return models


def seed_run(
    tmp_path: pathlib.Path, seed: int = 0, models=None, **changes
) -> tuple[SeedRun, list[int]]:
    """The run of a seed on small data, and the steps that it takes."""
    config = tiny_experiment(**changes)
    models = copy.copy(models or shared_models())
    models.config = config
    source = blobs(per_class=20, classes=8)
    target = blobs(per_class=20, classes=4, seed=1)
    split = splits.split_target(target, 4, 2, seed)
    folder = RunFolder(tmp_path / "run", config)
    steps: list[int] = []
    run = SeedRun(models, source, split, seed, folder, steps.append)
    return run, steps


def equal_states(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


ACTIVE = 1.0


def l2tl_model(credit, classes=8, **settings):
    model = tt.L2TL(
        tt.small_encoder((8, 8, 1), 4),
        classes,
        4,
        policy=tt.WeightPolicy(classes, levels=3),
        credit=credit,
        **settings,
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def first_batch(data, size):
    return next(iter(data.batches(size)))


def l2tl_model_with_table(credit, table, mass=1.0):
    """A model whose source classes had these average effects."""
    model = l2tl_model(credit, classes=len(table))
    mass = np.broadcast_to(mass, np.shape(table))
    model.credit.sums.assign(table * mass)
    model.credit.mass.assign(mass)
    return model


def transition(model, reward=0.5):
    """A step of a model from `l2tl_model`, in which nothing was trained."""
    source = model.encode_batch(*first_batch(blobs(classes=8), 24))
    with tf.GradientTape() as tape:
        tape.watch(source.features)
        loss = model.source_losses(source.labels, source.features)
    validation, gradients = model.credit.encode_validation(
        model, *first_batch(blobs(seed=1), 8)
    )
    return Transition(
        model.policy.draw(0, source.labels),
        candidates=source.labels,
        source=source,
        source_gradients=tape.gradient(loss, source.features),
        validation=validation,
        reward=tf.constant(reward),
        validation_gradients=gradients,
    )


# The images of most trainings in tests: source, target and validation.
SOURCE = blobs(per_class=20, classes=8)
TARGET = blobs(per_class=10, seed=1)
VALIDATION = blobs(per_class=4, seed=2)


def l2tl_streams():
    """The streams of these images that `fit_l2tl` trains on by default."""
    return tt.streams(
        SOURCE.batches(16), TARGET.batches(8), VALIDATION.batches(16)
    )


def dense_l2tl(optimizer=None, policy_optimizer=None, encoder=None, **settings):
    """An L2TL model whose encoder, a dense layer, is traced quickly."""
    keras.utils.set_random_seed(0)
    if encoder is None:
        encoder = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(24, activation="tanh"),
            ]
        )
    model = tt.L2TL(encoder, 8, 4, **{"policy_warmup": 0} | settings)
    model.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9),
        policy_optimizer or keras.optimizers.Adam(0.05),
        metrics=["accuracy"],
    )
    return model


def fit_l2tl(model, data=None, epochs=1, **settings):
    """Trains a model from `dense_l2tl`; returns its history."""
    data = data or l2tl_streams()
    return model.fit(
        data, epochs=epochs, verbose=0, shuffle=False, **settings
    ).history


def arrays(variables):
    """The present values of some variables."""
    return [np.array(v) for v in variables]


def domains() -> dict[str, tt.ImageData]:
    """A source of eight classes, and a target of the first four of them."""
    return {
        "source": blobs(per_class=20, classes=8),
        "target": blobs(per_class=20, classes=4, seed=1),
    }


TINY_SETTINGS = [
    "--config.data.image_size=8",
    "--config.data.channels=1",
    "--config.generalist.batch_size=64",
    "--config.pretraining.batch_size=64",
    "--config.finetuning.batch_size=32",
    "--config.data.labels_per_class=4",
    "--config.data.validation_per_class=2",
    "--config.data.source_per_class=4",
    "--config.encoder.width=4",
    "--config.generalist.steps=3",
    "--config.pretraining.steps=3",
    "--config.finetuning.steps=3",
    "--config.finetuning.learning_rates=(0.02,)",
    "--config.seeds=1",
]
"""Flags for a `compare` or `weights` of a few seconds, on embedded data."""


def call_command(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """Runs `tf-transfer` in this process; returns status, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["tf-transfer", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    output = capsys.readouterr()
    return stopped.value.code, output.out, output.err


def result(
    method: str,
    seed: int = 0,
    accuracy: float = 0.5,
    validation: float | None = None,
    loss: float = 1.0,
    **changes,
) -> Result:
    """A result that was made up; the loss is that on validation images."""
    by = accuracy if validation is None else validation
    fields = {
        "method": method,
        "seed": seed,
        "test": Scores(accuracy=accuracy, loss=1.0),
        "validation": Scores(accuracy=by, loss=loss),
        "learning_rate": 0.02,
        "seconds": 30.0,
        "history": {},
        "versions": {"keras": "3.15"},
        "machine": "2 cores, x86_64",
    }
    return Result(**fields | changes)


def results_of(method, *accuracies, loss=1.0, validation=None) -> list[Result]:
    """Results of a method, one for each seed."""
    pairs = zip(accuracies, validation or accuracies, strict=True)
    return [
        result(method, seed, *pair, loss=loss, seconds=30.0 + 60 * seed)
        for seed, pair in enumerate(pairs)
    ]


FRAME = tt.Frame(8, 1, tt.Appearance(255.0, 0.0, 0.3))


def raw_images() -> list[np.ndarray]:
    """Raw images of several sizes and channels, float32 in 0..255."""
    rng = np.random.default_rng(0)
    shapes = (1, 28, 28, 3), (5, 9, 40, 1), (64, 8, 8, 4)
    return [rng.integers(0, 256, s).astype(np.float32) for s in shapes]


def framed_outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The probabilities of a model for raw images, prepared by `FRAME`."""
    prepared = FRAME(images).numpy() / np.float32(255)
    return keras.ops.softmax(model(prepared)).numpy()


def export_check(folder: pathlib.Path, names: list[str]) -> dict[str, float]:
    """Returns how a converted model compares with Keras; checks its names."""
    assert json.loads((folder / "class_names.json").read_text()) == names
    return json.loads((folder / "provenance.json").read_text())["check"]


@contextlib.contextmanager
def browser():
    """A headless Chromium, or the reason why there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver, which are absent")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
    ):
        options.add_argument(f"--{flag}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    service = webdriver.ChromeService(driver)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def show(driver, path, width, scheme):
    """Opens a page in a window of a width, and in light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1}
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", size | {"mobile": False}
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [feature]}
    )
    driver.get(path.as_uri())


def requests(driver) -> set[str]:
    """Returns the addresses that the browser asked for since the last call.

    Of an address that holds its data, the beginning.
    """
    messages = (
        json.loads(entry["message"])["message"]
        for entry in driver.get_log("performance")
    )
    return {
        message["params"]["request"]["url"].split(",")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
