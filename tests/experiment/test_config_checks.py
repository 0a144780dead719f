import pytest

from configs import glyphs_to_digits
from tf_transfer import config
from tf_transfer.errors import InputError
from tf_transfer.experiment import config_checks


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs `datl.repeats`"),
        ({"repeats": 4.0, "temper": 2.0}, "leave out `temper`"),
        ({"repeats": 4.0, "clip": 2.0}, "leave out `temper`"),
        ({"repeats": 4.0, "floor": 0.1}, "leave out `temper`"),
        ({"repeats": 4.0}, ""),
    ],
)
def test_a_cut_goes_by_the_repeats_alone(settings, message):
    experiment = config.Experiment(datl=config.Datl(shape="cut", **settings))
    if not message:
        config_checks.check(experiment)
        return
    with pytest.raises(InputError, match=message):
        config_checks.check(experiment)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0.5}, "`examples.clip` must be at least 1"),
        ({"temper": 0.0}, "must be positive without `examples.beliefs`"),
        ({"floor": 1.0, "clip": 0.0}, ""),
        ({"temper": 0.0, "beliefs": True}, ""),
    ],
)
def test_weights_of_examples_must_be_able_to_differ(settings, message):
    experiment = config.Experiment(examples=config.Examples(**settings))
    if not message:
        config_checks.check(experiment)
        return
    with pytest.raises(InputError, match=message):
        config_checks.check(experiment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.source_classes", ("dog",)),
        ("relevant", ("dog",)),
        ("examples.beliefs", True),
        ("generalist_path", "model.keras"),
    ],
)
def test_clusters_are_no_given_labels(name, value):
    experiment = changed({"data.source_labels": "clusters", name: value})
    with pytest.raises(InputError, match=f"`{name}` goes by given labels"):
        config_checks.check(experiment)


def test_defaults_are_valid():
    config_checks.check(config.get_config())


POSITIVE = "must be positive"
NOT_NEGATIVE = "must not be negative"
OUT_OF_BOUNDS = {
    "seeds": (10_001, "must be from 1 to 10,000"),
    "strategy": ("", "must be one of none, mirrored, multi_worker, tpu"),
    "checkpoint_every": (0, POSITIVE),
    "data.image_size": (-1, NOT_NEGATIVE),
    "data.channels": (-1, NOT_NEGATIVE),
    "data.max_pixels": (0, POSITIVE),
    "data.damaged": ("", "must be one of refuse, skip"),
    "data.augment": (
        "turn",
        "must be one of auto, none, flip_crop, randaugment",
    ),
    "data.source_per_class": (-1, NOT_NEGATIVE),
    "data.labels_per_class": (-1, NOT_NEGATIVE),
    "data.validation_per_class": (-1, NOT_NEGATIVE),
    "data.test_share": (1.0, "must be between 0 and 1"),
    "data.memory_share": (-0.1, NOT_NEGATIVE),
    "data.decode": ("", "must be one of auto, once, as_needed"),
    "encoder.form": ("", "must be one of auto, flat, pooled"),
    "optimizer": ("adam", "must be one of auto, sgd, adamw, muon"),
    "encoder.precision": ("", "must be one of float32, mixed_bfloat16"),
    "generalist.steps": (-1, NOT_NEGATIVE),
    "generalist.passes": (-0.1, NOT_NEGATIVE),
    "generalist.batch_size": (-1, NOT_NEGATIVE),
    "generalist.learning_rate": (-1e-12, NOT_NEGATIVE),
    "pretraining.steps": (-1, NOT_NEGATIVE),
    "pretraining.passes": (-0.1, NOT_NEGATIVE),
    "pretraining.batch_size": (-1, NOT_NEGATIVE),
    "pretraining.learning_rate": (-1.0, NOT_NEGATIVE),
    "finetuning.steps": (-1, NOT_NEGATIVE),
    "finetuning.head_steps": (-1, NOT_NEGATIVE),
    "finetuning.batch_size": (-1, NOT_NEGATIVE),
    "finetuning.learning_rates": ((0.0,), "must hold positive numbers"),
    "finetuning.head": ("bad", "must be one of chosen, related, fresh"),
    "datl.estimator": ("", "must be one of mean, em, bbse, lift"),
    "datl.temperature": (0.0, POSITIVE),
    "datl.shape": ("", "must be one of ratio, cut"),
    "datl.repeats": (-1.0, NOT_NEGATIVE),
    "datl.temper": (-1.0, NOT_NEGATIVE),
    "datl.clip": (-0.1, NOT_NEGATIVE),
    "datl.floor": (-0.1, NOT_NEGATIVE),
    "datl.top_k": (-1, NOT_NEGATIVE),
    "datl.apply": ("bad", "must be one of draw, resample, elastic, attach"),
    "datl.start": ("", "must be one of generalist, random"),
    "finetuning.source_loss": (-1.0, NOT_NEGATIVE),
    "datl.every": (-1, NOT_NEGATIVE),
    "datl.growing": (11, "must be from 0 to 10"),
    "data.source_labels": ("none", "must be one of given, clusters"),
    "data.clusters": (1, "must be at least 2"),
    "examples.temper": (-0.5, NOT_NEGATIVE),
    "examples.floor": (1.5, "must be from 0 to 1"),
    "examples.clip": (-1.0, NOT_NEGATIVE),
    "examples.sample": (1, "must be at least 2"),
    "l2tl.joint_share": (1.5, "must be above 0 and at most 1"),
    "l2tl.steps": (0, POSITIVE),
    "l2tl.passes": (-0.1, NOT_NEGATIVE),
    "l2tl.learning_rate": (-0.1, NOT_NEGATIVE),
    "l2tl.policy_learning_rate": (-1.0, POSITIVE),
    "l2tl.policy_warmup": (-1, NOT_NEGATIVE),
    "l2tl.levels": (1, "must be at least 2"),
    "l2tl.entropy": (-0.1, NOT_NEGATIVE),
    "l2tl.credit": ("", "must be one of feature, gradient, reinforce"),
    "l2tl.reward": (
        "",
        "must be one of accuracy, auc, mean_per_class_accuracy, negative_loss",
    ),
    "l2tl.oversample": (0, POSITIVE),
    "l2tl.start": ("bad", "must be one of flat, datl"),
}
"""For each setting with a rule: a value that breaks it, and the rule."""


def changed(settings):
    """The built-in experiment with some settings changed."""
    experiment = config.Experiment()
    for path, value in settings.items():
        owner = experiment
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, name, value)
    return experiment


def test_every_rule_is_in_the_table():
    settings = config_checks._settings(config.Experiment())
    ruled = {name for name, _, field in settings if "rule" in field.metadata}
    assert ruled == set(OUT_OF_BOUNDS)


@pytest.mark.parametrize("path", OUT_OF_BOUNDS)
def test_a_value_out_of_bounds_is_one_sentence(path):
    value, rule = OUT_OF_BOUNDS[path]
    with pytest.raises(InputError) as caught:
        config_checks.check(changed({path: value}))
    assert str(caught.value) == f"`{path}` {rule}. Received: {value!r}"


def test_types_are_checked_first_and_settings_together_last():
    mistakes = {
        "l2tl.relabel": "yes",
        "data.source_per_class": -1,
        "l2tl.levels": 1,
        "methods": ("datl", "datl"),
    }
    while mistakes:
        with pytest.raises(InputError, match=f"^`{next(iter(mistakes))}`"):
            config_checks.check(changed(mistakes))
        mistakes.pop(next(iter(mistakes)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", 0),
        ("generalist.steps", -1),
        ("pretraining.learning_rate", -1.0),
        ("finetuning.batch_size", -1),
        ("finetuning.learning_rates", (0.1, 0.0)),
        ("finetuning.head_steps", -1),
        ("finetuning.head", "random"),
        ("finetuning.head", ""),
        ("data.source_per_class", -1),
        ("datl.temperature", 0.0),
        ("datl.temperature", -2.0),
        ("datl.temper", -1.0),
        ("datl.clip", -1.0),
        ("datl.every", -1),
        ("datl.estimator", "guess"),
        ("datl.apply", "hope"),
        ("datl.start", "middle"),
        ("l2tl.steps", 0),
        ("l2tl.learning_rate", -1.0),
        ("l2tl.policy_learning_rate", -1.0),
        ("l2tl.policy_warmup", -1),
        ("l2tl.levels", 1),
        ("l2tl.entropy", -0.1),
        ("l2tl.joint_share", 0.0),
        ("l2tl.joint_share", 1.5),
        ("methods", ("finetune", "datl", "finetune")),
        ("seeds", 10**9),
        ("encoder.precision", "float16"),
        ("l2tl.oversample", 0),
        ("l2tl.credit", "fair"),
        ("l2tl.reward", "gold"),
        ("l2tl.start", "warm"),
        ("l2tl.relabel", "yes"),
        ("l2tl.relabel", 2),
        ("strategy", "parameter_server"),
        ("checkpoint_every", 0),
    ],
)
def test_refuses_and_names_the_field(path, value):
    experiment = changed({path: value})
    with pytest.raises(InputError, match=f"`{path}`.*Received: "):
        config_checks.check(experiment)


def test_at_least_one_step_is_joint():
    settings = {"l2tl.joint_share": 0.001}
    config_checks.check(changed(settings))  # the steps are not known yet
    with pytest.raises(InputError, match=r"joint_share`.*0\.001 of 80"):
        config_checks.check(changed(settings | {"finetuning.steps": 80}))


def test_what_follows_from_the_data_is_listed():
    assert config_checks.missing(changed({})) == [
        "data.image_size",
        "data.channels",
        *("data.augment", "encoder.form"),
        *("generalist.steps", "generalist.batch_size"),
        "optimizer",
        *("pretraining.steps", "pretraining.batch_size"),
        *("finetuning.steps", "finetuning.batch_size"),
        "finetuning.learning_rates",
    ]
    assert config_checks.missing(glyphs_to_digits.get_config()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"datl": config.Datl(calibrate=True)},
        {"datl": config.Datl(estimator="bbse")},
    ],
)
def test_a_loaded_generalist_leaves_no_images_to_calibrate_on(change):
    config_checks.check(config.Experiment(**change))
    with pytest.raises(InputError, match=r"not trained on.*: 'its\.keras'"):
        config_checks.check(
            config.Experiment(generalist_path="its.keras", **change)
        )


def test_weights_either_select_images_or_weigh_them():
    settings = config.L2tl(oversample=2)
    config_checks.check(config.Experiment(l2tl=settings))
    attached = config.Datl(apply="attach")
    with pytest.raises(InputError, match=r"`datl.apply=attach`.*: 2"):
        config_checks.check(config.Experiment(l2tl=settings, datl=attached))
