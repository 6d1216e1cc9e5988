"""The sanity tests: one module per test kind, what it expands to and how it grades."""
