"""Rank statistics, the scale of a metric, and the tests that are graded by a statistic."""
