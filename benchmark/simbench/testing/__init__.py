"""Conformance kit: measure the declared properties of a metric, for plugin authors and for our own tests."""

from simbench.testing.conformance import Finding, check_metric

__all__ = ["Finding", "check_metric"]
