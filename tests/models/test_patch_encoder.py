import numpy as np
import pytest

from tf_transfer.models import patch_encoder
from tf_transfer.models.patch_encoder import PatchEncoder


def stripes(count, size=16, channels=3, seed=0):
    """Images with horizontal or vertical stripes at any place."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(size) * np.pi / 2 + rng.random((count, 1)) * 6)
    images = np.repeat(waves[:, :, None], size, axis=2)
    upright = np.arange(count) % 2
    images = np.where(upright[:, None, None], images.swapaxes(1, 2), images)
    images = 128 + 60 * images + rng.normal(0, 20, images.shape)
    images = np.repeat(images[..., None], channels, axis=3)
    return np.clip(images, 0, 255).astype(np.uint8), upright


@pytest.mark.parametrize("channels", [1, 3])
def test_what_it_learns_tells_stripes_apart_wherever_they_are(channels):
    images, upright = stripes(400, channels=channels)
    encoder = PatchEncoder(images, seed=0)
    features = encoder(images / np.float32(255)).numpy()
    features -= features.mean(axis=0)
    means = [features[:200][upright[:200] == side].mean(0) for side in (0, 1)]
    found = (features[200:] @ (means[1] - means[0])) > 0
    assert (found == upright[200:]).mean() > 0.97


def test_answers_are_those_of_a_loop_over_patches(monkeypatch):
    """The convolutions do what the paper's formulas say."""
    monkeypatch.setattr(patch_encoder, "_FILTERS", 5)
    images, _ = stripes(60, size=9)
    encoder = PatchEncoder(images, seed=0)
    image = images[7] / 255
    whitening = encoder.kernel.numpy().reshape(6 * 6 * 3, -1)
    sums = np.zeros((2, 2, 5))
    for row in range(2):
        for column in range(2):
            patch = image[2 * row :][:6, 2 * column :][:, :6].ravel()
            spread = np.sqrt(patch.var() + (10 / 255) ** 2)
            patch = (patch - patch.mean()) / spread
            white = patch @ whitening - encoder.mean.numpy()
            distances = np.linalg.norm(white - encoder.centres.numpy(), axis=1)
            sums[row, column] = np.maximum(distances.mean() - distances, 0)
    found = encoder(image[None].astype(np.float32)).numpy().reshape(2, 2, 5)
    # Four patches, one in each quarter.
    np.testing.assert_allclose(found, sums, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (7, 30), (40, 200)])
def test_images_of_any_size(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, *shape, 1)).astype(np.uint8)
    features = PatchEncoder(images, seed=0)(images / np.float32(255)).numpy()
    assert features.shape[0] == 12
    assert np.isfinite(features).all()


def test_the_seed_decides():
    images, _ = stripes(50)
    first, same, other = (
        PatchEncoder(images, seed).centres for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_images_of_one_colour_give_finite_features():
    images = np.full((10, 12, 12, 3), 128, np.uint8)
    features = PatchEncoder(images)(images / np.float32(255)).numpy()
    assert np.isfinite(features).all()
