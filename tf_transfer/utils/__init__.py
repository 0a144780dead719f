"""Helpers that know nothing of the methods."""
