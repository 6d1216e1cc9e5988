"""One module per test kind."""
