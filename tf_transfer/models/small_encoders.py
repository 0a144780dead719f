"""Two small convolutional encoders for small images."""

import keras

from tf_transfer.errors import InputError

FORMS = ("flat", "pooled")
_FEATURES = 128
_EPSILON = 1e-4
_GAIN = 2**0.5


def small_encoder(
    image_shape: tuple[int, int, int], width: int = 8, form: str = "flat"
) -> keras.Model:
    """Returns a small convolutional encoder for small images.

    The flat form has three 3x3 convolutions (the last two with stride 2) with
    group normalisation, and a dense layer of 128 units, which preserves where
    a stroke is. It suits centred drawings and scans.

    The pooled form has five 3x3 convolutions (the second and fourth with
    stride 2), whose outputs are averaged over the image. It suits photographs,
    and learns early from many classes. Its kernels are standardised, so that
    it needs no normalisation (Brock et al. 2021, 2101.08692).

    In both nothing depends on the batch: many devices train like one.

    Args:
        image_shape: `(height, width, channels)`.
        width: filters of the first convolution; doubled twice.
        form: `"flat"` or `"pooled"`.

    Returns:
        A model from images `[B, height, width, channels]` in 0..1 to
        features `[B, D]`; D is 128 in the flat form, and 4 times the width in
        the pooled one.

    Raises:
        InputError: if `width` is not a positive multiple of 4, or there is no
            such form.

    Example:

    >>> small_encoder((12, 12, 1), width=4).output_shape
    (None, 128)
    >>> small_encoder((32, 32, 3), form="pooled").output_shape
    (None, 32)
    """
    if width < 4 or width % 4:
        raise InputError(
            f"`width` must be a positive multiple of 4. Received: {width=}"
        )
    if form not in FORMS:
        raise InputError(
            f"`form` must be one of {', '.join(FORMS)}. Received: {form!r}"
        )
    stack = _flat(width) if form == "flat" else _pooled(width)
    return keras.Sequential([keras.Input(image_shape), *stack], name="encoder")


def _flat(width: int) -> list[keras.Layer]:
    stack = []
    for filters, strides in _convolutions(width, "flat"):
        stack += [
            keras.layers.Conv2D(filters, 3, strides, padding="same"),
            keras.layers.GroupNormalization(4),
            keras.layers.ReLU(),
        ]
    return [
        *stack,
        keras.layers.Flatten(),
        keras.layers.Dense(_FEATURES, activation="relu"),
    ]


def _pooled(width: int) -> list[keras.Layer]:
    stack = [keras.layers.Rescaling(4.0, -2.0)]
    for filters, strides in _convolutions(width, "pooled"):
        stack += [
            StandardizedConv2D(filters, strides),
            keras.layers.LeakyReLU(0.1),
        ]
    return [*stack, keras.layers.GlobalAveragePooling2D()]


@keras.saving.register_keras_serializable("tf_transfer")
class StandardizedConv2D(keras.Layer):
    """A 3x3 convolution whose kernel has mean 0 and norm 1 for each filter.

    A gain for each filter, which starts at the square root of 2, scales it
    (scaled weight standardisation: Brock et al. 2021, 2101.08692). The kernel
    is stored as a matrix `[9 * channels, filters]`, which Muon orthogonalises.

    Args:
        filters: number of outputs.
        strides: 1 or 2.
        **kwargs: of `keras.Layer`.
    """

    def __init__(self, filters: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(9 * input_shape[-1], self.filters),
            initializer="he_normal",
            autocast=False,  # a mean in half precision would be too coarse
            name="kernel",
        )
        self.gain = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.Constant(_GAIN),
            name="gain",
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )

    def call(self, inputs):
        ops = keras.ops
        centred = self.kernel - ops.mean(self.kernel, axis=0, keepdims=True)
        square = ops.sum(ops.square(centred), axis=0, keepdims=True)
        unit = ops.cast(centred * ops.rsqrt(square + _EPSILON), inputs.dtype)
        kernel = ops.reshape(
            unit * self.gain, (3, 3, inputs.shape[-1], self.filters)
        )
        outputs = ops.conv(inputs, kernel, self.strides, padding="same")
        return outputs + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        sides = (side and -(-side // self.strides) for side in (height, width))
        return (batch, *sides, self.filters)

    def get_config(self):
        settings = {"filters": self.filters, "strides": self.strides}
        return super().get_config() | settings


def _convolutions(width: int, form: str) -> list[tuple[int, int]]:
    """Returns filters and stride of each convolution."""
    if form == "flat":
        return [(width, 1), (2 * width, 2), (4 * width, 2)]
    wide, widest = 2 * width, 4 * width
    return [(width, 1), (wide, 2), (wide, 1), (widest, 2), (widest, 1)]


def small_footprint(
    image_shape: tuple[int, int, int], width: int, form: str = "flat"
) -> tuple[int, int]:
    """Returns the size of a small encoder, without building it.

    Returns:
        The numbers of parameters, and of values that its convolutions, and
        the normalisations of their results, return for one image.

    >>> small_footprint((12, 12, 1), width=4)
    (20120, 2016)
    """
    height, side, channels = image_shape
    parameters = outputs = 0
    # Bias, scale and offset of a normalisation; or gain and bias.
    vectors, values = (3, 2) if form == "flat" else (2, 1)
    for filters, stride in _convolutions(width, form):
        height, side = -(-height // stride), -(-side // stride)
        parameters += (9 * channels + vectors) * filters
        outputs += values * height * side * filters
        channels = filters
    if form == "pooled":
        return parameters, outputs
    inputs = height * side * channels
    return parameters + (inputs + 1) * _FEATURES, outputs
