"""Comparisons of units: matching, sparse prediction, clusters, matching subspaces."""
