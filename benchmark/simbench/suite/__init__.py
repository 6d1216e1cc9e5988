"""Suites in YAML: typed strict models, and loading with errors that name file, line and column."""
