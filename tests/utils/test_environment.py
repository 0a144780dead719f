import platform

import numpy as np
import tensorflow as tf

from tf_transfer.utils import environment


def test_versions_are_those_of_what_runs():
    versions = environment.package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["tensorflow"] == tf.__version__
    assert {"keras", "tf_transfer"} <= set(versions)
