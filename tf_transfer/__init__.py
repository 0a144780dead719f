"""Which source data should a model learn from, and does it help?

Importing this package is cheap: TensorFlow loads with the first name used.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Appearance": "framing",
    "DATL": "datl",
    "DistributedTrainer": "distribution",
    "Experiment": "config",
    "FeatureCredit": "credit",
    "FixedPolicy": "policy",
    "Frame": "framing",
    "GradientCredit": "credit",
    "ImageData": "data",
    "ImportanceWeights": "datl",
    "InputError": "errors",
    "L2TL": "l2tl",
    "Reinforce": "credit",
    "Resume": "checkpoint",
    "Stopped": "errors",
    "TargetPrior": "estimation",
    "WeightPolicy": "policy",
    "bbse_prior": "weights",
    "class_relation": "relations",
    "classifier": "models",
    "compare": "experiment",
    "count_source_prior": "estimation",
    "effective_sample_size": "diagnostics",
    "distributed": "distribution",
    "elastic_order": "sampling",
    "em_prior": "weights",
    "encoder": "backbones",
    "estimate_target_prior": "estimation",
    "export_onnx": "convert",
    "export_serving": "export",
    "export_tflite": "convert",
    "from_dataset": "data",
    "importance_weights": "weights",
    "index_draw": "sampling",
    "load": "data",
    "read_shards": "shards",
    "replace_head": "models",
    "resample": "sampling",
    "small_encoder": "models",
    "source_prior": "weights",
    "split_target": "splits",
    "strategy": "distribution",
    "streams": "three_streams",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
