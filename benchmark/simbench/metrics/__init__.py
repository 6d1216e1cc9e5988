"""The similarity indices: one module per family, pure functions with metadata attached."""
