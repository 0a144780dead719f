"""Packaging of tf_transfer."""

import pathlib
import re

from setuptools import find_packages, setup

_COMPLETION = ["argcomplete>=3.5,<4"]
_DOCS = [
    "latex2mathml>=3.77,<4",
    "mkdocs-material>=9.6,<10",
    "mkdocstrings[python]>=0.28,<2",
]
_HF = ["datasets>=3,<6"]
_HUB = ["keras-hub>=0.25,<1"]
_ONNX = ["onnx>=1.17,<2", "onnxruntime>=1.22,<2", "tf2onnx>=1.17,<2"]
_TENSORBOARD = ["tensorboard>=2.20,<3"]
_TFLITE = ["ai-edge-litert>=2.1,<3"]

_HERE = pathlib.Path(__file__).parent
_VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (_HERE / "tf_transfer" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)[1]

setup(
    name="tf_transfer",
    version=_VERSION,
    description=(
        "Which source data should a model learn from, and does it help? "
        "DATL and L2TL on Keras 3 and TensorFlow."
    ),
    long_description=(_HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tf_transfer*"]),
    package_data={"tf_transfer.report": ["report.html.jinja"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.1,<3",
        "importlib_resources>=6",  # tensorflow-datasets forgets to ask for it
        "jinja2>=3.1,<4",
        "keras>=3.15,<3.16",
        "matplotlib>=3.9,<4",
        "ml-collections>=1.0,<2",
        "numpy>=2.0,<3",
        "pillow>=10",
        "scikit-learn>=1.5,<2",
        "scipy>=1.13,<2",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.9,<5",
        "tensorflow-probability[tf]>=0.25,<0.26",
        "tensorflow-serving-api>=2.19,<3",  # the format of warm-up requests
        "threadpoolctl>=3.2,<4",
        "wrapt>=1.15,<3",
    ],
    extras_require={
        "completion": _COMPLETION,
        "docs": _DOCS,
        "hf": _HF,
        "hub": _HUB,
        "onnx": _ONNX,
        "tensorboard": _TENSORBOARD,
        "tflite": _TFLITE,
        "test": [
            *_COMPLETION,
            *_DOCS,
            *_HF,
            *_HUB,
            *_ONNX,
            *_TENSORBOARD,
            *_TFLITE,
            "keras-tuner>=1.4.7,<2",
            "openvino>=2026.1,<2027",
            "build>=1.2",
            "hypothesis>=6",
            "ipykernel>=6",
            "nbclient>=0.10",
            "nbformat>=5.7",
            "psutil>=5",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8,<1",
            "selenium>=4.20,<5",
        ],
    },
    entry_points={"console_scripts": ["tf-transfer = tf_transfer.cli:main"]},
)
