"""The methods and their controls."""
