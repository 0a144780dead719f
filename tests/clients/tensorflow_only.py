"""Loads a SavedModel where neither Keras nor this package can be imported.

python tests/clients/tensorflow_only.py VERSION SIDE CHANNELS

It runs every signature on batches of 1 and of 64. It prints, as JSON, the
shapes of all outputs and the largest difference between the probabilities.
"""

import importlib.machinery
import json
import sys


class Blocked:
    """A finder that refuses to import some packages."""

    names = ("keras", "tf_keras", "tf_transfer")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is blocked")

    def exec_module(self, module):
        raise ImportError(f"{module.__name__} is blocked")


sys.meta_path.insert(0, Blocked())
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main() -> None:
    """Prints the outputs' shapes and their largest difference."""
    folder, side, channels = sys.argv[1], *map(int, sys.argv[2:])
    report = {"signatures": {}, "difference": 0.0}
    signatures = tf.saved_model.load(folder).signatures
    for batch in (1, 64):
        shape = (batch, side, side, channels)
        pixels = np.random.default_rng(batch).integers(0, 256, shape)
        pixels = pixels.astype(np.uint8)
        files = [tf.io.encode_png(image) for image in pixels]
        inputs = {
            "serving_default": {"images": tf.constant(pixels, tf.float32)},
            "serve_uint8": {"images": tf.constant(pixels)},
            "serve_bytes": {"image_bytes": tf.stack(files)},
            "features": {"images": tf.constant(pixels, tf.float32)},
        }
        first = None
        for name, tensors in inputs.items():
            outputs = signatures[name](**tensors)
            shapes = {key: list(value.shape) for key, value in outputs.items()}
            report["signatures"][f"{name} {batch}"] = shapes
            if "probabilities" in outputs:
                rows = outputs["probabilities"].numpy()
                first = rows if first is None else first
                difference = float(np.abs(rows - first).max())
                report["difference"] = max(report["difference"], difference)
    report["blocked"] = not {"keras", "tf_transfer"} & set(sys.modules)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
