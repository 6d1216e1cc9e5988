"""Static pictures for papers, from a board and its table of scores. Needs matplotlib: the extra `plot`."""
