"""Loads a SavedModel where neither Keras nor this package can be imported.

python tests/clients/tensorflow_only.py VERSION SIDE CHANNELS

Runs every signature on batches of 1 and of 64 and prints, as JSON, the shapes
and the largest difference between the answers of the three that classify.
"""

import importlib.machinery
import json
import sys


class Blocked:
    """Finds packages by name, and refuses to load them."""

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
    """Prints what the signatures return."""
    folder, side, channels = sys.argv[1], *map(int, sys.argv[2:])
    found = {"signatures": {}, "difference": 0.0}
    signatures = tf.saved_model.load(folder).signatures
    for batch in (1, 64):
        shape = (batch, side, side, channels)
        pixels = np.random.default_rng(batch).integers(0, 256, shape)
        pixels = pixels.astype(np.uint8)
        files = [tf.io.encode_png(image) for image in pixels]
        given = {
            "serving_default": {"images": tf.constant(pixels, tf.float32)},
            "serve_uint8": {"images": tf.constant(pixels)},
            "serve_bytes": {"image_bytes": tf.stack(files)},
            "features": {"images": tf.constant(pixels, tf.float32)},
        }
        first = None
        for name, inputs in given.items():
            answer = signatures[name](**inputs)
            shapes = {key: list(value.shape) for key, value in answer.items()}
            found["signatures"][f"{name} {batch}"] = shapes
            if "probabilities" in answer:
                answer = answer["probabilities"].numpy()
                first = answer if first is None else first
                apart = float(np.abs(answer - first).max())
                found["difference"] = max(found["difference"], apart)
    found["blocked"] = not {"keras", "tf_transfer"} & set(sys.modules)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
