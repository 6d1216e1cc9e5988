"""`simbench cache`: how large the store is, what a key depends on, and what may go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption, MetricOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simbench.plan.pruning import Choice, Pruning
    from simbench.results.inventory import Item, Kind
    from simbench.results.lease import Lease
    from simbench.results.store import Store

SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds_of(text: str) -> float:
    """Parse an age: `30d`, `12h`, `2w` or `90m`.

    >>> seconds_of("30d"), seconds_of("12h")
    (2592000.0, 43200.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", str(text).strip())
    if match is None:
        raise typer.BadParameter(f'"{text}" is not an age; give minutes, hours, days or weeks, such as 90m, 12h or 30d')
    return float(match[1]) * SECONDS[match[2]]


def kind_named(text: str) -> str:
    """Return the name of a kind of artifact; refuse any other with the nearest."""
    from simbench.errors import UnknownNameError
    from simbench.results.inventory import KINDS

    if text not in KINDS:
        raise typer.BadParameter(str(UnknownNameError("kind", text, KINDS)))
    return text


def command(
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="KEY",
            help="Show what a key, or its beginning, depends on; all of it with the --suite that it is of.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            metavar="SUITE",
            help="Remove what this suite needs, or with --orphans what it does not need; repeatable.",
            show_default=False,
        ),
    ] = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Remove what none of the suites given by --suite needs.")
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=seconds_of,
            help="Remove only what was written longer ago than this: 90m, 12h, 30d, 2w.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            parser=kind_named,
            help="Remove only this kind: models, activations, scores, provenance, failures, temporary, or runs and "
            "data, which stay unless they are named; repeatable.",
            show_default=False,
        ),
    ] = None,
    metric: MetricOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it, rather than only show what would go.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Show the size of the store, explain a key, or remove what is old or not needed."""
    from simbench.cli.output import print_json, read_store, say, stdout_reserved
    from simbench.errors import ExitCode, SimbenchError

    pruning = bool(suite or orphans or older_than is not None or kind)
    if orphans and not suite:
        raise SimbenchError("--orphans needs --suite, the suites whose models and scores are kept")
    if metric and not suite:
        raise SimbenchError("--metric needs --suite: it is scored beside the metrics of that suite")
    if yes and (explain is not None or not pruning):
        raise SimbenchError("--yes needs what to remove: --suite, --orphans, --older-than or --kind")
    if explain is not None and (orphans or older_than is not None or kind):
        raise SimbenchError("--explain removes nothing: give it alone, or with --suite")
    with stdout_reserved(json):
        place = read_store(store)
        if explain is not None:
            document, text = _explained(explain, place, suite or (), metric or ())
        elif pruning:
            choice = _choice(suite or (), metric or (), kind or (), older_than or 0.0, orphans=orphans)
            document, text = _pruned(place, choice, yes=yes)
        else:
            document, text = _sizes(place)
    if json:
        print_json({"schema_version": 1, "store": str(place.root), **document})
    else:
        say(*text.splitlines())
    raise typer.Exit(int(ExitCode.INCOMPLETE if document.get("failed") else ExitCode.OK))


def _explained(key: str, store: Store, suites: Sequence[str], metrics: Sequence[str]) -> tuple[dict[str, Any], str]:
    from simbench.plan.explain import explain, text_of

    explanation = explain(key, store, _plans(suites, metrics))
    return explanation.to_dict(), text_of(explanation)


def _plans(suites: Sequence[str], metrics: Sequence[str]) -> list[Any]:
    from simbench.run.session import prepare

    return [prepare(suite, metrics) for suite in suites]


def _choice(
    suites: Sequence[str], metrics: Sequence[str], kinds: Sequence[Any], older_than: float, *, orphans: bool
) -> Choice:
    from simbench.plan.pruning import KINDS_BY_DEFAULT, Choice, needs_of

    needs = needs_of(_plans(suites, metrics)) if suites else None
    return Choice(tuple(kinds) or KINDS_BY_DEFAULT, needs, orphans, older_than)


def _pruned(store: Store, choice: Choice, *, yes: bool) -> tuple[dict[str, Any], str]:
    from simbench.plan.pruning import carry_out, choose

    pruning = choose(store, choice)
    if yes:
        pruning = carry_out(store, pruning)
    document = {
        "removed" if yes else "would_remove": [_entry(item) for item in pruning.items],
        "bytes": sum(item.bytes for item in pruning.items),
        "in_use": [_entry(item) for item in pruning.in_use],
        "shared": [_entry(item) for item in pruning.shared],
        "failed": [{"path": str(path), "reason": reason} for path, reason in pruning.failed.items()],
    }
    return document, _summary(pruning, yes=yes)


def _summary(pruning: Pruning, *, yes: bool) -> str:
    """Return what goes, by kind (scores by metric), and what stays and why."""
    groups: dict[str, list[Item]] = {}
    for item in pruning.items:
        groups.setdefault(f"scores of {item.metric}" if item.kind == "scores" else item.kind, []).append(item)
    done = "removed" if yes else "would remove"
    lines = [f"{done}:", *_rows({**groups, "total": pruning.items})] if groups else ["nothing to remove"]
    if pruning.in_use:
        lines.append(f"kept {len(pruning.in_use)} that a run under way needs")
    if pruning.shared:
        lines.append(f"kept {len(pruning.shared)} blocks of scores of which others are not meant")
    lines += [f"cannot remove {path}: {reason}" for path, reason in pruning.failed.items()]
    if pruning.items and not yes:
        lines.append("nothing is removed yet: --yes removes it")
    return "\n".join(lines)


def _sizes(store: Store) -> tuple[dict[str, Any], str]:
    from simbench.results.inventory import KINDS, inventory
    from simbench.results.lease import live_leases

    items, leases = inventory(store), live_leases(store.root)
    kinds = {str(kind): [item for item in items if item.kind == kind] for kind in KINDS}
    runs = [_run(lease) for lease in leases]
    sizes = {name: _size(of_kind) for name, of_kind in kinds.items()}
    lines = [str(store.root), *_rows({**kinds, "total": items})]
    lines += [f"in use by a run of {run['suite']} (process {run['process']})" for run in runs]
    return {"kinds": sizes, "total": _size(items), "runs_under_way": runs}, "\n".join(lines)


def _rows(groups: Mapping[str, Sequence[Item]]) -> list[str]:
    """Return a line per group: its name, the number of its items, and their size."""
    width = max(map(len, groups))
    sizes = {name: _size(items) for name, items in groups.items()}
    return [f"{name:<{width}}  {size['count']:>6}  {size_of(size['bytes']):>10}" for name, size in sizes.items()]


def _size(items: Sequence[Item]) -> dict[str, int]:
    return {"count": len(items), "bytes": sum(item.bytes for item in items)}


def _run(lease: Lease) -> dict[str, Any]:
    return {"suite": lease.suite, "process": lease.process, "this_machine": _is_here(lease)}


def _is_here(lease: Lease) -> bool:
    from simbench.processes import this_machine

    return lease.machine == this_machine()


def _entry(item: Item) -> dict[str, Any]:
    kind: Kind = item.kind
    return {"kind": kind, "key": item.key, "path": str(Path(item.path)), "bytes": item.bytes}


def size_of(size: float) -> str:
    """Return a number of bytes for people.

    >>> size_of(512), size_of(3 << 20)
    ('512 B', '3.0 MB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
