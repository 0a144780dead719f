"""Data sets: loading, framing, splitting and batching of images."""
