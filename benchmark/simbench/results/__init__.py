"""Score records, the store they live in, and the provenance of each."""
