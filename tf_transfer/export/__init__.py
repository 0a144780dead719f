"""Trained classifiers for servers: SavedModel, LiteRT and ONNX."""
