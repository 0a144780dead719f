import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import nnls

from tests import helpers
from tf_transfer.datl import estimation
from tf_transfer.datl.estimators import bootstrap, label_shift
from tf_transfer.errors import InputError

PRIOR = np.full(3, 1 / 3)


def logit_model(noise=0.35):
    """Returns calibrated logits of a class number hidden in one pixel."""
    confusion = (1 - noise) * np.eye(3) + noise / 3
    model = keras.Sequential(
        [
            keras.Input((1, 1, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, use_bias=False),
        ]
    )
    model.set_weights([np.log(confusion)])
    return model


def images_of(classes):
    return np.eye(3, dtype=np.float32)[np.asarray(classes, int)][:, None, None]


def drawn(truth, count, noise=0.35, seed=0):
    """Images of examples with these class shares, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=truth)
    confusion = (1 - noise) * np.eye(3) + noise / 3
    signals = np.array([rng.choice(3, p=confusion[y]) for y in labels])
    return images_of(signals), labels


def test_mean_by_hand():
    estimate = estimation.estimate_target_prior(
        logit_model(), images_of([0, 0, 1]), PRIOR
    )
    high, low = 1 - 0.35 * 2 / 3, 0.35 / 3
    expected = [(2 * high + low) / 3, (high + 2 * low) / 3, low]
    np.testing.assert_allclose(estimate.prior, expected, rtol=1e-5)
    assert estimate.count == 3
    assert np.all(estimate.interval[0] <= estimate.prior + 1e-6)
    assert np.all(estimate.prior <= estimate.interval[1] + 1e-6)


def test_a_temperature_of_two_takes_the_root_by_hand():
    estimate = estimation.estimate_target_prior(
        logit_model(), images_of([0]), PRIOR, temperature=2.0
    )
    root = np.sqrt([1 - 0.35 * 2 / 3, 0.35 / 3, 0.35 / 3])
    np.testing.assert_allclose(estimate.prior, root / root.sum(), rtol=1e-5)
    assert estimate.temperature == 2


@pytest.mark.parametrize("estimator", ["em", "bbse"])
def test_em_and_bbse_recover_a_shift_through_a_model(estimator):
    truth = np.array([0.6, 0.3, 0.1])
    images, _ = drawn(truth, 3000)
    held_images, held_labels = drawn(PRIOR, 3000, seed=1)
    held_out = tf.data.Dataset.from_tensor_slices((held_images, held_labels))
    estimate = estimation.estimate_target_prior(
        logit_model(),
        images,
        PRIOR,
        estimator=estimator,
        held_out=held_out.batch(100),
    )
    np.testing.assert_allclose(estimate.prior, truth, atol=0.05)
    low, high = estimate.interval
    assert np.all((low < estimate.prior) & (estimate.prior < high))


def exact(likelihood, shares):
    """200 images and labels in exactly the shares P(y) P(x | y)."""
    counts = np.rint(200 * np.array(shares)[:, None] * likelihood).astype(int)
    pairs = np.indices((3, 3)).reshape(2, 9)
    labels, signals = np.repeat(pairs, counts.ravel(), axis=1)
    return images_of(signals), labels


def test_bbse_undoes_one_sided_mistakes_and_an_uneven_prior():
    likelihood = np.array(
        [[0.8, 0.15, 0.05], [0.3, 0.6, 0.1], [0.05, 0.25, 0.7]]
    )
    model = logit_model()
    model.set_weights([np.log(likelihood)])
    prior, truth = [0.6, 0.3, 0.1], [0.2, 0.3, 0.5]
    images, _ = exact(likelihood, truth)
    held_out = tf.data.Dataset.from_tensor_slices(exact(likelihood, prior))
    estimate = estimation.estimate_target_prior(
        model,
        images,
        prior,
        estimator="bbse",
        temperature=2.0,
        held_out=held_out.batch(64),
    )
    np.testing.assert_allclose(estimate.prior, truth, atol=1e-4)


def estimate_bbse(logits, held_logits, labels, **settings):
    """BBSE of logits, from the logits of held-out images."""
    classes = logits.shape[1]
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Identity()])
    held_out = tf.data.Dataset.from_tensor_slices((held_logits, labels))
    return estimation.estimate_target_prior(
        model,
        logits,
        np.full(classes, 1 / classes),
        estimator="bbse",
        held_out=held_out.batch(512),
        **settings,
    )


def calibrated(labels, classes, seed):
    """Logits of a signal in noise, calibrated for equal shares."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(len(labels), classes))
    signal[np.arange(len(labels)), labels] += 2
    return (2 * signal).astype(np.float32)


def test_the_interval_of_a_certain_confusion_is_of_the_target_alone():
    held = np.arange(900) % 3
    held_logits = calibrated(held, 3, seed=0)
    logits = calibrated(np.arange(60) % 2, 3, seed=1)
    estimate = estimate_bbse(logits, held_logits, held, bootstrap=20)
    rows = label_shift.softmax(held_logits)
    sums = np.zeros((3, 3))
    np.add.at(sums.T, held, rows)
    joint = np.full(3, 1 / 3) * (sums / sums.sum(axis=0))

    def solve(rows):
        prior = nnls(joint, rows.mean(axis=0))[0]
        return prior / prior.sum()

    rng, rows = np.random.default_rng(0), label_shift.softmax(logits)
    drawn = [rng.integers(0, len(rows), len(rows)) for _ in range(20)]
    expected = bootstrap.interval(np.array([solve(rows[i]) for i in drawn]))
    np.testing.assert_allclose(estimate.interval, expected, rtol=1e-5)


def test_bbse_refuses_a_source_class_that_held_out_lacks():
    held = np.arange(300) % 2
    with pytest.raises(InputError, match="no images of class 2"):
        estimate_bbse(np.zeros((9, 3), "f"), calibrated(held, 3, 0), held)


def test_twins_and_a_model_without_knowledge_have_wide_intervals():
    rng = np.random.default_rng(0)
    truth = np.array([0.2, 0.2, 0.6])
    logits = calibrated(rng.choice(3, 6000, p=truth), 3, seed=1)
    held = rng.choice(3, 6000)
    held_logits = calibrated(held, 3, seed=2)
    for rows in (logits, held_logits):
        rows[:, 2] = rows[:, 1]
    with pytest.warns(UserWarning, match="tell classes 1, 2 apart"):
        estimate = estimate_bbse(logits, held_logits, held)
    low, high = estimate.interval
    assert np.all((low < truth) & (truth < high))
    flat = np.zeros((1000, 3), np.float32)
    with pytest.warns(UserWarning, match="tell classes 0, 1, 2 apart"):
        estimate = estimate_bbse(flat, flat, held[:1000])
    np.testing.assert_allclose(estimate.prior, PRIOR, atol=1e-6)
    low, high = estimate.interval
    assert np.all((low < 0.2) & (high > 0.6))


def test_predictions_at_random_have_wide_intervals():
    rng = np.random.default_rng(0)
    logits, held_logits = rng.normal(size=(2, 3000, 3)).astype("f")
    held = np.arange(3000) % 3
    low, high = estimate_bbse(logits, held_logits, held).interval
    assert np.all(high - low > 0.5)


def test_bbse_without_an_interval_says_what_is_uncertain(capsys):
    held = np.arange(6) % 3
    logits = calibrated(held, 3, seed=0)
    estimate_bbse(logits, logits, held, bootstrap=0)
    assert "too much alike" in capsys.readouterr().err


def test_many_classes_take_seconds_and_cover_the_truth():
    classes = 410
    held = np.repeat(np.arange(classes), 4)
    truth = np.random.default_rng(0).dirichlet(np.full(classes, 0.5))
    labels = np.random.default_rng(1).choice(classes, 500, p=truth)
    logits = 2 * calibrated(labels, classes, seed=2)
    held_logits = 2 * calibrated(held, classes, seed=3)
    estimate = estimate_bbse(logits, held_logits, held, bootstrap=5)
    assert estimate.prior.sum() == pytest.approx(1)
    assert np.all(estimate.interval[0] <= estimate.interval[1])


def test_images_of_another_range_that_end_on_one_class_are_warned_of(capsys):
    images, _ = drawn([1, 0, 0], 30, noise=0)
    model = logit_model(noise=0.1)
    estimation.estimate_target_prior(model, images, PRIOR)
    assert not capsys.readouterr().err
    estimation.estimate_target_prior(model, 255 * images, PRIOR)
    assert "class 0 with share 1.000" in capsys.readouterr().err


@pytest.mark.parametrize("estimator", ["mean", "em"])
def test_the_prior_is_the_same_without_an_interval(estimator):
    images, _ = drawn([0.6, 0.3, 0.1], 100)
    estimate, without = (
        estimation.estimate_target_prior(
            logit_model(), images, PRIOR, estimator=estimator, bootstrap=count
        )
        for count in (5, 0)
    )
    np.testing.assert_array_equal(estimate.prior, without.prior)
    assert without.interval is None


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_calibration_multiplies_the_temperature(temperature):
    model = logit_model()
    model.set_weights([3 * model.get_weights()[0]])
    images, labels = drawn(PRIOR, 3000)
    held_out = tf.data.Dataset.from_tensor_slices((images, labels)).batch(64)
    estimate = estimation.estimate_target_prior(
        model,
        images,
        PRIOR,
        temperature=temperature,
        calibrate=True,
        held_out=held_out,
    )
    assert estimate.temperature == pytest.approx(3 * temperature, rel=0.15)


def test_batch_size_does_not_matter():
    images, _ = drawn([0.2, 0.3, 0.5], 101)
    estimates = [
        estimation.estimate_target_prior(
            logit_model(),
            tf.data.Dataset.from_tensor_slices(images).batch(size),
            PRIOR,
        )
        for size in (1, 7, 101)
    ]
    first, *others = estimates
    for other in others:
        np.testing.assert_allclose(other.prior, first.prior, rtol=1e-6)
        np.testing.assert_allclose(other.interval, first.interval)


def test_two_replicas_equal_one(mirrored):
    images = helpers.blobs(per_class=9).images / np.float32(255)
    model = helpers.tiny_classifier()
    with mirrored.scope():
        copy = helpers.tiny_classifier()
    copy.set_weights(model.get_weights())
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(7)
    prior = np.full(4, 0.25)
    one, two = (
        estimation.estimate_target_prior(m, dataset, prior, estimator="em")
        for m in (model, copy)
    )
    np.testing.assert_allclose(one.prior, two.prior, atol=1e-6)
    np.testing.assert_allclose(one.interval, two.interval, atol=1e-6)


def test_lift_finds_what_a_biased_model_is_sure_of_never():
    """Its outputs favour class 0 for every image, and differ little."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 3000)
    images = rng.normal(size=(3000, 1, 1, 3)).astype(np.float32)
    images[..., 0, 0, :] += np.eye(3)[labels]
    model = logit_model()
    model.set_weights([0.1 * np.eye(3)])
    model.add(keras.layers.Rescaling(1.0, offset=[0.2, 0.0, 0.0]))
    source = tf.data.Dataset.from_tensor_slices((images, labels)).batch(500)
    target = images[labels == 2][:200]
    mean, lift = (
        estimation.estimate_target_prior(
            model, target, PRIOR, estimator=estimator, held_out=source
        )
        for estimator in ("mean", "lift")
    )
    assert mean.prior.argmax() == 0
    assert lift.prior.argmax() == 2
    assert lift.prior.sum() == pytest.approx(1)
    assert np.all(lift.interval[0] <= lift.prior + 1e-6)
    assert np.all(lift.prior <= lift.interval[1] + 1e-6)
    everything = estimation.estimate_target_prior(
        model, images, PRIOR, estimator="lift", held_out=source
    )
    np.testing.assert_allclose(everything.prior, PRIOR, atol=0.02)


def test_an_empty_batch_changes_nothing():
    images = images_of([0, 1, 1])
    some = tf.data.Dataset.from_tensor_slices(images).batch(2)
    empty = tf.data.Dataset.from_tensors(images[:0])
    one, other = (
        estimation.estimate_target_prior(logit_model(), dataset, PRIOR).prior
        for dataset in (some, some.concatenate(empty))
    )
    np.testing.assert_array_equal(one, other)


def test_probabilities_are_understood():
    model = logit_model()
    softmax = keras.Sequential([model, keras.layers.Softmax()])
    images = images_of([0, 1, 1])
    one = estimation.estimate_target_prior(model, images, PRIOR)
    two = estimation.estimate_target_prior(
        softmax, images, PRIOR, from_logits=False
    )
    np.testing.assert_allclose(one.prior, two.prior, rtol=1e-5)
    with pytest.raises(InputError, match="seems to return probabilities"):
        estimation.estimate_target_prior(softmax, images, PRIOR)


def test_images_of_half_precision_may_have_any_size():
    model = keras.Sequential(
        [keras.Input((300, 300, 3)), keras.layers.GlobalAveragePooling2D()]
    )
    images = np.full((2, 300, 300, 3), 0.5, np.float16)
    estimate = estimation.estimate_target_prior(model, images, PRIOR)
    np.testing.assert_allclose(estimate.prior, PRIOR, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_models_of_other_precisions(dtype, from_logits):
    model = logit_model()
    layers = [model, keras.layers.Activation("linear", dtype=dtype)]
    if not from_logits:
        layers.append(keras.layers.Softmax(dtype=dtype))
    images, labels = drawn(PRIOR, 300)
    held_out = tf.data.Dataset.from_tensor_slices((images, labels)).batch(50)
    settings = {"held_out": held_out, "bootstrap": 3, "calibrate": True}
    for estimator in estimation.ESTIMATORS:
        estimates = [
            estimation.estimate_target_prior(
                keras.Sequential(some),
                images[:200],
                PRIOR,
                estimator=estimator,
                from_logits=len(some) < 3,
                **settings,
            ).prior
            for some in (layers[:1], layers)
        ]
        np.testing.assert_allclose(*estimates, atol=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_rectifier_does_not_hide_pixels_that_are_not_finite(value):
    model = helpers.tiny_classifier()
    images = np.zeros((4, 8, 8, 1), np.float32)
    images[2, 3, 3] = value
    with pytest.raises(InputError, match="must be finite"):
        estimation.estimate_target_prior(model, images, np.full(4, 0.25))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": images_of([])}, "target has no images"),
        ({"images": images_of([0]) * np.nan}, "must be finite"),
        ({"images": np.zeros((2, 1, 2, 3))}, "shape that the model takes"),
        ({"source_prior": np.full(2, 0.5)}, "must have 2 outputs"),
        ({"bootstrap": -1}, "`bootstrap` must not be negative"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"temperature": -1.0}, "`temperature` must be positive"),
        ({"estimator": "guess"}, "Unknown estimator"),
        ({"estimator": "bbse"}, "need `held_out`"),
        ({"estimator": "lift"}, "need `held_out`"),
        ({"calibrate": True}, "need `held_out`"),
    ],
)
def test_refuses(changes, message):
    arguments = {
        "model": logit_model(),
        "images": images_of([0, 1]),
        "source_prior": PRIOR,
    }
    with pytest.raises(InputError, match=message):
        estimation.estimate_target_prior(**arguments | changes)


@pytest.mark.parametrize("used", [{"calibrate": True}, {"estimator": "bbse"}])
@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ((images_of([0]), np.array([7])), "Received: label 7"),
        (images_of([0]), "must yield .* Received: no labels"),
        ((images_of([]), np.array([], int)), "`held_out` has no images"),
    ],
)
def test_refuses_held_out_images(held_out, message, used):
    dataset = tf.data.Dataset.from_tensor_slices(held_out).batch(1)
    with pytest.raises(InputError, match=message):
        estimation.estimate_target_prior(
            logit_model(), images_of([0]), PRIOR, held_out=dataset, **used
        )


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_source_prior_of_a_dataset(batch_size):
    labels = np.array([0, 2, 2, 0, 0, 0, 2])
    dataset = tf.data.Dataset.from_tensor_slices((labels, labels))
    if batch_size:
        dataset = dataset.batch(batch_size)
    prior = estimation.count_source_prior(dataset, 3)
    np.testing.assert_allclose(prior, [4 / 7, 0, 3 / 7])


def test_source_prior_of_a_dataset_refuses():
    dataset = tf.data.Dataset.from_tensor_slices(([0, 1], [0, 5]))
    for bad, message in (
        (dataset, "Received: label 5"),
        (dataset.repeat(), "without end"),
        (dataset.take(0), "empty"),
    ):
        with pytest.raises(InputError, match=message):
            estimation.count_source_prior(bad, 3)
