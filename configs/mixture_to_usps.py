"""A mixture, mostly irrelevant -> USPS digits, 5 labels a class.

tf-transfer compare --config=configs/mixture_to_usps.py

MNIST, EMNIST letters, Fashion-MNIST and notMNIST: 56 classes of 600 images,
of which the ten of MNIST are relevant. RESULTS.md has cost and figures.
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
PARTS = ("mnist", "emnist_letters", "fashion_mnist", "notmnist")


def get_config() -> Experiment:
    """Returns the experiment."""
    return Experiment(
        data=Data(
            source="+".join(f"npz:{FOLDER}/{part}.npz" for part in PARTS),
            target=f"npz:{FOLDER}/usps.npz",
            image_size=16,
            channels=1,
            source_per_class=600,
            augment="none",
            labels_per_class=5,
            validation_per_class=2,
            test_share=0.5,
        ),
        encoder=Encoder(form="flat"),
        generalist=Training(steps=1500, batch_size=64, learning_rate=0.05),
        optimizer="sgd",
        pretraining=Training(steps=300, batch_size=64, learning_rate=0.05),
        finetuning=FineTuning(
            steps=300, batch_size=32, learning_rates=(0.02, 0.05)
        ),
        l2tl=L2tl(learning_rate=0.02),
        relevant=tuple("0123456789"),
    )
