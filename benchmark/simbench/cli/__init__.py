"""Command line: one module per verb, shared options, exit codes. Nothing heavy is imported before a verb runs."""
