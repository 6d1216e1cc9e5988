"""`simbench schema`: the JSON Schema of suite files, for editors."""

from __future__ import annotations


def command() -> None:
    """Print the JSON Schema of suite files."""
    from simbench.cli.output import print_json, stdout_reserved
    from simbench.suite.json_schema import suite_schema

    with stdout_reserved():
        document = suite_schema()
    print_json(document)
