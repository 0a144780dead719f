import numpy as np
import PIL.Image
import pytest

from tf_transfer.data.store import cache


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The name of a data set of 60 image files, and a cache of its own."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i in range(60):
        folder = tmp_path / "photos" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (9 + i % 2, 9, 3)).astype(np.uint8)
        PIL.Image.fromarray(image).save(folder / f"{i}.png")
    return f"folder:{tmp_path / 'photos'}"
