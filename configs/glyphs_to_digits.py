"""Drawn characters -> handwritten digits, 10 labels a class.

tf-transfer compare --config=configs/glyphs_to_digits.py
"""

from tf_transfer.config import Experiment


def get_config() -> Experiment:
    return Experiment()
