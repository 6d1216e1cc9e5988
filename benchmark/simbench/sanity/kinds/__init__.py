"""Test kinds, one per module."""
