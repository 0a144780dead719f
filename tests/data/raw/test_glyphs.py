import numpy as np

from tf_transfer.data.raw import glyphs


def test_draws_every_character_deterministically():
    images, labels = glyphs.draw(2, seed=3)
    again, _ = glyphs.draw(2, seed=3)
    other, _ = glyphs.draw(2, seed=4)
    assert images.shape == (2 * len(glyphs.CHARACTERS), 8, 8)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, again)
    assert (images != other).any()
    assert np.bincount(labels).tolist() == [2] * len(glyphs.CHARACTERS)


def test_holds_at_least_the_digits_and_letters():
    expected = set("0123456789") | {chr(c) for c in range(65, 91)}
    expected |= {chr(c) for c in range(97, 123)}
    assert expected <= set(glyphs.CHARACTERS)
    assert len(set(glyphs.CHARACTERS)) == len(glyphs.CHARACTERS)


def test_no_character_is_missing_from_a_font():
    atlas = glyphs._atlas()
    # A font draws one box for all it does not have.
    flat = atlas.reshape(len(glyphs.CHARACTERS), atlas.shape[1], -1)
    for variant in flat.swapaxes(0, 1):
        distinct = {image.round(3).tobytes() for image in variant}
        assert len(distinct) > 0.97 * len(variant)


def test_images_have_ink_and_background():
    images, _ = glyphs.draw(1, seed=0)
    inked = (images > 127).mean(axis=(1, 2))
    assert inked.min() > 0
    assert np.median(inked) < 0.6
