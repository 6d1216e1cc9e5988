"""Indices of a model's outputs and of its head."""
