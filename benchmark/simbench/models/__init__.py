"""Networks: architectures, training, loading, and the `Model` through which everything else sees them."""

# The modules that register the built-in loaders and reparametrisations, in the order in which these are listed.
BUILTIN_MODULES = ("loading", "zoo_weights", "reparametrise")
