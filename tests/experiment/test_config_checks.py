import pytest

from tf_transfer import config
from tf_transfer.errors import InputError
from tf_transfer.experiment import config_checks


def test_defaults_are_valid():
    config_checks.check(config.get_config())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", 0),
        ("generalist.steps", 0),
        ("pretraining.learning_rate", -1.0),
        ("finetuning.batch_size", 0),
        ("finetuning.learning_rates", ()),
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
        ("l2tl.learning_rate", 0.0),
        ("l2tl.policy_learning_rate", -1.0),
        ("l2tl.policy_warmup", -1),
        ("l2tl.levels", 1),
        ("l2tl.entropy", -0.1),
        ("l2tl.joint_share", 0.0),
        ("l2tl.joint_share", 1.5),
        ("l2tl.joint_share", 0.001),
        ("methods", ("finetune", "datl", "finetune")),
        ("seeds", 10**9),
        ("encoder.precision", "float16"),
        ("l2tl.policy_warmup", 150),
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
    experiment = config.Experiment()
    owner = experiment
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, value)
    with pytest.raises(InputError, match=f"`{path}`.*Received: "):
        config_checks.check(experiment)


@pytest.mark.parametrize(
    "change",
    [
        {"datl": config.Datl(calibrate=True)},
        {"datl": config.Datl(estimator="bbse")},
    ],
)
def test_a_given_generalist_leaves_nothing_to_calibrate_on(change):
    config_checks.check(config.Experiment(**change))
    with pytest.raises(InputError, match=r"not trained on.*: 'its\.keras'"):
        config_checks.check(
            config.Experiment(generalist_path="its.keras", **change)
        )


def test_selected_by_weights_or_weighted_by_them():
    settings = config.L2tl(oversample=2)
    config_checks.check(config.Experiment(l2tl=settings))
    attached = config.Datl(apply="attach")
    with pytest.raises(InputError, match=r"`datl.apply=attach`.*: 2"):
        config_checks.check(config.Experiment(l2tl=settings, datl=attached))
