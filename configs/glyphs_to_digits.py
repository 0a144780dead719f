"""Drawn characters -> handwritten digits, 10 labels a class.

tf-transfer compare --config=configs/glyphs_to_digits.py

Three to five minutes on two cores. RESULTS.md has the figures.
"""

from tf_transfer.config import Experiment


def get_config() -> Experiment:
    """Returns the built-in experiment, with ten seeds."""
    return Experiment(seeds=10)
