"""The conformance kit: what a metric declares of itself, measured. For plugin authors and for our own tests."""

from simbench.testing.conformance import Finding, check_metric

__all__ = ["Finding", "check_metric"]
