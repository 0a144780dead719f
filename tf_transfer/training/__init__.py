"""What `fit` needs everywhere: devices, checkpoints, TensorBoard."""
