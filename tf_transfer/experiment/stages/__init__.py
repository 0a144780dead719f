"""The stages of training: their models, batches, rates and checkpoints."""
