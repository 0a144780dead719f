"""Drawn characters -> handwritten digits, 10 labels a class.

tf-transfer compare --config=configs/glyphs_to_digits.py

Four minutes on two cores with --jobs=2. RESULTS.md has the figures.
"""

from tf_transfer.config import (
    Data,
    Encoder,
    Experiment,
    FineTuning,
    L2tl,
    Training,
)


def get_config() -> Experiment:
    """Returns the embedded experiment, with ten seeds."""
    return Experiment(
        data=Data(
            source="glyphs",
            target="digits",
            image_size=12,
            channels=1,
            augment="none",
            labels_per_class=10,
            validation_per_class=3,
            test_share=0.5,
        ),
        encoder=Encoder(form="flat"),
        generalist=Training(steps=300, batch_size=64, learning_rate=0.05),
        optimizer="sgd",
        pretraining=Training(steps=300, batch_size=64, learning_rate=0.05),
        finetuning=FineTuning(
            steps=80, batch_size=32, learning_rates=(0.02, 0.05)
        ),
        l2tl=L2tl(learning_rate=0.02),
        seeds=10,
    )
