"""Which source data should a model learn from, and does it help?

Importing this package is fast: TensorFlow is loaded when a name is first used.
"""

import importlib

import wrapt

from tf_transfer.utils import registration

__version__ = "0.1.0"

_HOMES = {
    "Appearance": "data.framing",
    "CoTuning": "co_tuning.model",
    "DATL": "datl.callback",
    "DistributedTrainer": "training.distribution",
    "ExampleScores": "datl.examples.scoring",
    "ExampleWeights": "datl.examples.example_weights",
    "Experiment": "config",
    "FeatureCredit": "l2tl.credits.feature",
    "FixedPolicy": "l2tl.policy",
    "Frame": "data.framing",
    "GradientCredit": "l2tl.credits.gradient",
    "ImageData": "data.image_data",
    "ImportanceWeights": "datl.importance_weights",
    "InputError": "errors",
    "L2TL": "l2tl.model",
    "Reinforce": "l2tl.credits.reinforce",
    "Resume": "training.checkpoint",
    "Stopped": "errors",
    "TargetPrior": "datl.estimation",
    "WeightEstimate": "commands.weights",
    "WeightPolicy": "l2tl.policy",
    "bbse_prior": "datl.estimators.label_shift",
    "class_relation": "models.class_relation",
    "cluster": "datl.examples.clusters",
    "classifier": "models.classifiers",
    "compare": "commands.compare",
    "count_source_prior": "datl.estimation",
    "effective_sample_size": "datl.diagnostics",
    "distributed": "training.distribution",
    "elastic_order": "datl.resampling",
    "em_prior": "datl.estimators.label_shift",
    "encoder": "models.encoders",
    "estimate_target_prior": "datl.estimation",
    "estimate_weights": "commands.weights",
    "export_onnx": "export.onnx",
    "export_serving": "export.saved_model",
    "export_tflite": "export.litert",
    "from_dataset": "data.loading",
    "importance_weights": "datl.shaping",
    "index_draw": "datl.resampling",
    "load": "data.loading",
    "read_shards": "data.shards",
    "replace_head": "models.classifiers",
    "resample": "datl.resampling",
    "score_examples": "datl.examples.scoring",
    "small_encoder": "models.small_encoders",
    "source_prior": "utils.weighting",
    "split_target": "data.splits",
    "strategy": "training.distribution",
    "streams": "data.streams",
}
__all__ = sorted(_HOMES)

wrapt.when_imported("keras")(registration.register)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
