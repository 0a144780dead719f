"""MNIST -> MNIST-M-style, digits on photographs; 10 or 60 labels a class.

tf-transfer compare --config=configs/mnist_to_mnist_m.py
tf-transfer compare --config=configs/mnist_to_mnist_m.py:60 --out=runs/m60

RESULTS.md has cost and figures.
"""

from tf_transfer.config import Data, Experiment, FineTuning, Training

FOLDER = "../shared/data"


def get_config(labels: str = "10") -> Experiment:
    """Returns the experiment with so many labels a class."""
    return Experiment(
        data=Data(
            source=f"npz:{FOLDER}/mnist.npz",
            target=f"npz:{FOLDER}/mnist_m.npz",
            image_size=20,
            channels=3,
            source_per_class=2000,
            labels_per_class=int(labels),
            validation_per_class=max(2, round(0.25 * int(labels))),
        ),
        generalist=Training(steps=1500),
        finetuning=FineTuning(steps=300),
    )
