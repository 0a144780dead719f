"""Support for every training: distribution, checkpoints, TensorBoard."""
