"""Framed images on disk: made once, read by index, found again."""
