"""Indices that do not pair inputs: topology, spectra, dynamics, summary statistics."""
