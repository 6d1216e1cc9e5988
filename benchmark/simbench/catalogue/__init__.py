"""Catalogue of all components as plain data: entries, facts of metrics, measured properties."""
