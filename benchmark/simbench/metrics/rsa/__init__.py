"""Comparisons of representational dissimilarity matrices, of distances, and by optimal transport."""
