"""The type that a board is made of, and its interval."""
