"""`simbench suite schema`: print the JSON Schema of suite files, for editors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class SuiteAction(StrEnum):
    """Actions of `simbench suite`."""

    schema = "schema"


def command(action: Annotated[SuiteAction, typer.Argument(metavar="schema", help="Print the JSON Schema.")]) -> None:
    """Print the JSON Schema of suite files, for editors."""
    from simbench.cli.output import print_json, stdout_reserved
    from simbench.suite.json_schema import suite_schema

    with stdout_reserved():
        document = suite_schema()
    print_json(document)
