"""The format of a bundle, which a stranger can verify, and how one is made."""
