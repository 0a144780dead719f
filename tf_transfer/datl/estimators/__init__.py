"""Estimators of the target prior, and their intervals: NumPy alone."""
