"""Distances after an optimal alignment: Procrustes analysis and its relatives."""
