"""From a suite to a frozen plan: what would run, under which keys, and what is there already. Imports no torch."""
