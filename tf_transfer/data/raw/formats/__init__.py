"""Data sets as they lie on the disk, one module for each format."""
