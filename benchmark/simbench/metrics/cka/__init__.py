"""Centred kernel alignment."""
