"""Comparisons of nearest neighbours."""
