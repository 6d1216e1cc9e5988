"""Canonical correlations and comparisons of subspaces."""
