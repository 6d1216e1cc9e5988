"""Metrics made of other metrics, declared like a parameter: `{name: cka, calibrate: permutation}`.

One wrapper at a time. A parameter of the metric's own that has the name of a wrapper is that parameter.
"""

# The modules that register the built-in wrappers, in the order in which these are listed.
BUILTIN_MODULES = (
    "calibration",
    "bootstrap",
    "minibatch",
)
