"""Aggregates, ranks and rendering of verdicts. Takes a tidy table and knows nothing of models."""
