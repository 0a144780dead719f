"""DATL by the paper's protocol, on a mixture -> USPS, 5 labels a class.

tf-transfer compare --config=configs/mixture_to_usps_datl.py

The data of mixture_to_usps.py. Every method pre-trains a new model, for as
many steps as matter, and fine-tunes it with a fresh head. The steps of the
generalist, by which DATL's weights are estimated, come on top: fine-tuning
that one (`finetune` of mixture_to_usps.py) is better. RESULTS.md has cost and
figures.
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
            steps=300, batch_size=32, learning_rates=(0.02, 0.05), head="fresh"
        ),
        l2tl=L2tl(learning_rate=0.02),
        datl=Datl(start="random"),
        methods=("finetune", "datl", "datl_uniform", "datl_reversed"),
        seeds=10,
        relevant=tuple("0123456789"),
    )
