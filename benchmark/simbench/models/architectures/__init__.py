"""The built-in architectures."""

# The modules that register the built-in architectures, in the order in which these are listed.
BUILTIN_MODULES = ("builtin", "zoos")
