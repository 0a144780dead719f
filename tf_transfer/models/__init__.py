"""Encoders, classifiers and their predictions."""
