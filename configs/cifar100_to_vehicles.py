"""CIFAR-100 -> the vehicles of CIFAR-10, 50 labels a class.

tf-transfer compare --config=configs/cifar100_to_vehicles.py

About ten of the hundred source classes, of 200 images each, are relevant.
RESULTS.md has the figures; its minutes are those of a machine that was busy
with other work, three to four times those of an idle one.
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
# The superclasses "vehicles 1" and "vehicles 2".
RELEVANT = (
    "bicycle",
    "bus",
    "lawn_mower",
    "motorcycle",
    "pickup_truck",
    "rocket",
    "streetcar",
    "tank",
    "tractor",
    "train",
)


def get_config() -> Experiment:
    """Returns the experiment."""
    return Experiment(
        data=Data(
            source=f"npz:{FOLDER}/cifar100.npz",
            target=f"npz:{FOLDER}/cifar10.npz",
            target_classes=("airplane", "automobile", "ship", "truck"),
            image_size=32,
            channels=3,
            augment="none",
            labels_per_class=50,
            validation_per_class=12,
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
        seeds=10,
        relevant=RELEVANT,
    )
