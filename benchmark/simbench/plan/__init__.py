"""Plan of a run: what a suite asks for, under which keys, and what the store already has. Imports no torch."""
