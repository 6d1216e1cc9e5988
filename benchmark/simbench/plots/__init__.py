"""Static figures for papers, from a board and its table of scores; needs matplotlib, the extra `plot`."""
