"""Entry point of the command line.

Each verb is a module of this folder with a function `command`: its signature declares the verb's options, its docstring
is the help. The modules are light, so that `simbench --help` is quick; `command` imports what it needs in its body.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from simbench.cli.output import say
from simbench.errors import ExitCode, SimbenchError
from simbench.visible import visible

# Verbs in the order in which people use them.
VERBS = (
    *("run", "plan", "list", "describe", "layers", "check", "new", "score"),
    *("explain", "runs", "compare", "publish", "plot", "verify", "leaderboard", "suite", "cache"),
)


def _version(wanted: bool) -> None:
    if wanted:
        from simbench import __version__

        print(f"simbench {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Test representational similarity indices, and publish the leaderboard."""


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that errors which the user can mend are printed to standard error without a traceback."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except SimbenchError as error:
            say(*(f"error: {line}" for line in (str(error) or type(error).__name__).split("\n")), error=True)
            raise typer.Exit(int(error.exit_code)) from None
        except KeyboardInterrupt:
            say("interrupted", error=True)
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        except BrokenPipeError:  # the reader of the output has gone: nothing is wrong
            raise
        except OSError as error:
            if error.errno is None:
                raise
            say(f"error: {_refused(error)}", error=True)
            raise typer.Exit(int(ExitCode.INCOMPLETE)) from None

    return guarded


def _refused(error: OSError) -> str:
    """Return what the system refuses, in one line: the path, the reason and, where there is some, advice."""
    from simbench.files import reason_of, shown

    if not isinstance(error.filename, str | bytes):
        return str(error.strerror)
    path = Path(os.fsdecode(error.filename))
    return f"{shown(path)}: {reason_of(error.errno or 0, path)}"


def build_app() -> typer.Typer:
    """Build the application with all its verbs."""
    # Plain help and usage errors start in half the time of framed ones, and are readable in a log file.
    app = typer.Typer(
        name="simbench",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog="A suite is the name of a bundled one (`simbench list suites`) or a YAML file. "
        "Exit codes: 0 all well, 1 a check or --fail-on did not hold, 2 usage or suite error, 3 incomplete, "
        "130 interrupted.",
    )
    app.callback()(_root)
    for verb in VERBS:
        command = importlib.import_module(f"simbench.cli.{verb}").command
        app.command(verb, short_help=inspect.getdoc(command))(reporting_errors(command))
    return app


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a defect of ours; its message may quote a stranger's file."""
    say(*"".join(traceback.format_exception(kind, error, trace)).rstrip("\n").split("\n"), error=True)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as one line; it may name a stranger's file."""
    return f"{visible(f'{filename}:{lineno}: {category.__name__}: {message}')}\n"


def main() -> None:
    """Run the command line."""
    sys.excepthook = _print_traceback
    warnings.formatwarning = _format_warning
    try:
        build_app()(prog_name="simbench")
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending: one more Ctrl-C would only print a traceback


if __name__ == "__main__":
    main()
