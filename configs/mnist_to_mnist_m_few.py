"""MNIST -> MNIST-M-style, digits on photographs; 10 labels a class.

tf-transfer compare --config=configs/mnist_to_mnist_m_few.py

RESULTS.md has cost and figures.
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
            source=f"npz:{FOLDER}/mnist.npz",
            target=f"npz:{FOLDER}/mnist_m.npz",
            image_size=20,
            channels=3,
            source_per_class=2000,
            augment="none",
            labels_per_class=10,
            validation_per_class=3,
            test_share=0.5,
        ),
        encoder=Encoder(form="flat"),
        generalist=Training(steps=1500, batch_size=64, learning_rate=0.05),
        optimizer="sgd",
        pretraining=Training(steps=300, batch_size=64, learning_rate=0.05),
        finetuning=FineTuning(
            steps=600, batch_size=32, learning_rates=(0.02, 0.05)
        ),
        l2tl=L2tl(learning_rate=0.02),
        seeds=10,
    )
