"""CIFAR-100 -> CIFAR-10, all ten classes, 20 labels a class.

tf-transfer compare --config=configs/cifar100_to_cifar10.py

A hundred source classes of 200 images each. RESULTS.md has cost and figures.
"""

from tf_transfer.config import (
    Data,
    Encoder,
    Experiment,
    FineTuning,
    L2tl,
    Training,
)

FOLDER = "../shared/data"


def get_config() -> Experiment:
    """Returns the experiment."""
    return Experiment(
        data=Data(
            source=f"npz:{FOLDER}/cifar100.npz",
            target=f"npz:{FOLDER}/cifar10.npz",
            image_size=32,
            channels=3,
            augment="none",
            labels_per_class=20,
            validation_per_class=5,
            test_share=0.5,
        ),
        encoder=Encoder(width=16, form="flat"),
        generalist=Training(steps=2000, batch_size=64, learning_rate=0.02),
        optimizer="sgd",
        pretraining=Training(steps=300, batch_size=64, learning_rate=0.02),
        finetuning=FineTuning(
            steps=300, batch_size=32, learning_rates=(0.01, 0.02)
        ),
        l2tl=L2tl(learning_rate=0.02),
    )
