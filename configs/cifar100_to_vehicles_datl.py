"""DATL by the paper's protocol, on CIFAR-100 -> vehicles, 50 labels.

tf-transfer compare --config=configs/cifar100_to_vehicles_datl.py

The data of cifar100_to_vehicles.py. Every method pre-trains a new model, for
as many steps as matter, and fine-tunes it with a fresh head. The steps of the
generalist, by which DATL's weights are estimated, come on top: fine-tuning
that one (`finetune` of cifar100_to_vehicles.py) is better. RESULTS.md has cost
and figures.
"""

from tf_transfer.config import (
    Data,
    Datl,
    Encoder,
    Experiment,
    FineTuning,
    L2tl,
    Training,
)

FOLDER = "../shared/data"
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
        pretraining=Training(steps=600, batch_size=64, learning_rate=0.02),
        finetuning=FineTuning(
            steps=300, batch_size=32, learning_rates=(0.01, 0.02), head="fresh"
        ),
        l2tl=L2tl(learning_rate=0.02),
        datl=Datl(start="random"),
        methods=("finetune", "datl", "datl_uniform", "datl_reversed"),
        relevant=RELEVANT,
    )
