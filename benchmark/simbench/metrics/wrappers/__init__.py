"""Metrics made of other metrics: calibrated, bootstrapped, taken from minibatches."""
