"""Checks of bundles that anybody can repeat, and merging of bundles."""
