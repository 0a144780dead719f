"""Tiny-ImageNet and CIFAR-100 -> the vehicles of CIFAR-10, 20 labels a class.

tf-transfer compare --config=configs/broad_to_vehicles.py --jobs=2

300 source classes, of which about 25 are relevant, and half a pass over their
120,000 images in all: the budget cannot cover the source, and choosing pays.
DATL takes the best classes alone. It takes about ten minutes on two cores.
"""

from tf_transfer.config import (
    Data,
    Datl,
    Encoder,
    Experiment,
    FineTuning,
    Training,
)

FOLDER = "../shared/data"
# By their names, of Tiny-ImageNet and of CIFAR-100.
RELEVANT = (
    "beach_wagon",
    "bicycle",
    "bullet_train",
    "bus",
    "convertible",
    "freight_car",
    "go_kart",
    "gondola",
    "jinrikisha",
    "lawn_mower",
    "lifeboat",
    "limousine",
    "motorcycle",
    "moving_van",
    "pickup_truck",
    "police_van",
    "rocket",
    "school_bus",
    "sports_car",
    "streetcar",
    "tank",
    "tractor",
    "train",
    "trolleybus",
)


def get_config() -> Experiment:
    """Returns the experiment."""
    return Experiment(
        data=Data(
            source=f"tfrecord:{FOLDER}/tiny_imagenet_32.tfrecord"
            f"+npz:{FOLDER}/cifar100.npz",
            target=f"npz:{FOLDER}/cifar10.npz",
            target_classes=("airplane", "automobile", "ship", "truck"),
            image_size=32,
            channels=3,
            augment="flip_crop",
            labels_per_class=20,
        ),
        encoder=Encoder(form="pooled"),
        optimizer="muon",
        generalist=Training(steps=280, batch_size=64),
        pretraining=Training(steps=660, batch_size=64),
        finetuning=FineTuning(
            steps=80,
            batch_size=32,
            learning_rates=(0.005, 0.02),
            head="related",
        ),
        datl=Datl(shape="cut", repeats=4.0),
        methods=(
            "scratch",
            "finetune_related",
            "datl",
            "datl_uniform",
            "datl_reversed",
        ),
        seeds=10,
        relevant=RELEVANT,
    )
