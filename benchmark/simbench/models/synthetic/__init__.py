"""Models made by a formula instead of by training."""
