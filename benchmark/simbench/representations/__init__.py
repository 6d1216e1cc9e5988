"""Representations: the activations of one layer of one model on the probe inputs."""

# The modules that register the built-in transforms, in the order in which these are listed.
BUILTIN_MODULES = (
    "transforms",
    "perturbations",
)
