"""Arithmetic that knows no similarity index, and what several families of indices share."""
