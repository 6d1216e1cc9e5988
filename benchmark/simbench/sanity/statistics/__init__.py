"""Rank statistics, and the population that a difference is held against."""
