"""Test kinds, one per module."""

# The modules that register the built-in test kinds, in the order in which these are listed.
BUILTIN_MODULES = (
    "identity",
    "correspondence",
    "invariance",
    "distribution_invariance",
    "distribution_sensitivity",
    "graded_perturbation",
    "closeness",
    "distillation_order",
    "upper_bound",
    "layer_monotonicity",
    "group_separation",
    "output_correlation",
    "component_deletion",
    "probe_correlation",
    "far_pair",
    "noise_null",
    "noise_response",
    "matching_recovery",
    "sample_size",
    "outliers",
    "axioms",
    "in_distribution",
    "untrained_control",
    "partial_overlap",
)
