"""Sanity tests: the base of all kinds, the selection of layers and pairs, the kinds, and their statistics."""
