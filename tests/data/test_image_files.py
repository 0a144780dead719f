import io

import numpy as np
import PIL.Image
import pytest

from tf_transfer.data.image_files import SUFFIXES, EncodedImages
from tf_transfer.errors import InputError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_is_decoded(tmp_path, suffix):
    pixels = np.full((6, 5, 3), 200, np.uint8)
    path = tmp_path / f"image{suffix}"
    PIL.Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    for image in EncodedImages([str(path), content]):
        np.testing.assert_allclose(image, pixels, atol=3)


def test_refuses_other_formats(tmp_path):
    content = io.BytesIO()
    PIL.Image.new("L", (6, 5)).save(content, "TIFF")
    with pytest.raises(InputError, match=r"be read\. Received: 'image 0'"):
        EncodedImages([content.getvalue()])[0]


def test_refuses_an_image_too_large_before_decoding_it(tmp_path):
    path = tmp_path / "large.png"
    PIL.Image.new("L", (30, 20)).save(path)
    assert EncodedImages([str(path)], max_pixels=600)[0].shape == (20, 30, 1)
    with pytest.raises(InputError, match=r"599 .*large\.png' with 600"):
        EncodedImages([str(path)], max_pixels=599)[0]
