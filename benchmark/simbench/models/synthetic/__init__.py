"""Models made by a formula instead of by training."""

# The modules that register the built-in generators, in the order in which these are listed.
BUILTIN_MODULES = (
    "permuted_clusters",
    "deranged_clusters",
    "perturbed_clusters",
    "rotated_pairs",
    "gaussian",
    "shared_units",
)
