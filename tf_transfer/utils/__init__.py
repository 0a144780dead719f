"""Helpers that are independent of the transfer methods."""
