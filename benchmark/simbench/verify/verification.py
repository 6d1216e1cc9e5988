"""Verify a bundle: read it, check the requested levels, and report."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simbench.bundles.archive import BadBundleError, read_files
from simbench.bundles.contents import Contents, parse
from simbench.errors import SimbenchError
from simbench.metrics.resolve import resolve_metrics
from simbench.results.store import Store
from simbench.verify.published import bundle_in, check_published
from simbench.verify.regrade import check_files, check_grades, states_remarks
from simbench.verify.report import ProofLevel, Report, Step, with_findings
from simbench.verify.rescore import check_scores
from simbench.verify.scratch import Request
from simbench.verify.sources import check_sources
from simbench.verify.suite_facts import suite_facts

if TYPE_CHECKING:
    from simbench.run.events import Listener


def verify(
    path: Path,
    *,
    rescore: bool = False,
    retrain: bool = False,
    sample: float = 0.1,
    decisive: bool = True,
    seed: int | None = None,
    store: Path | None = None,
    metrics: Sequence[str] = (),
    jobs: int | None = None,
    engine: str = "processes",
    listener: Listener | None = None,
    files: Sequence[Path] = (),
) -> Report:
    """Check a bundle.

    Args:
        path: a zip, a folder, or a published folder that holds one (`leaderboard/sanity`), whose tables are checked.
        rescore: whether to compute a part of the scores again, on trained models of the store or the bundle.
        retrain: whether to compute a part of the scores again, on models trained from scratch in a temporary store.
        sample: the share of each metric's scores to compute again, besides the decisive ones.
        decisive: whether to compute all scores again that alone could turn a verdict.
        seed: the seed of the sample; by default an unpredictable one, which the report names.
        store: where trained models may be.
        metrics: code of third-party metrics that the caller has read and trusts: `file.py[:attr]` or `pkg.mod[:attr]`.
        jobs: worker processes.
        engine: `processes` or `serial`.
        listener: called with the events of the runs.
        files: folders of files of activations or weights, which the bundle knows by their hashes.

    Raises:
        BadBundleError: this is no bundle, or one that is not safe to read.
        CannotCheckError: the suite needs a component that is not installed here.
        SimbenchError: something else the caller can mend.
    """
    if not 0 < sample <= 1:
        raise SimbenchError(f"--sample takes a share above 0 and up to 1, not {sample:g}")
    resolve_metrics(list(metrics))
    inside = bundle_in(path)
    contents = open_bundle(path)
    chosen = secrets.randbelow(2**31) if seed is None else seed
    of_sources, remarks = check_sources(contents)
    graded = with_findings(check_grades(contents), of_sources)
    if inside is not None:
        graded = with_findings(graded, check_published(path, contents))
    steps = [check_files(contents), graded]
    place = Store(store)
    for level, asked in (("rescored", rescore), ("reproduced", retrain)):
        steps.append(_taken(contents, level, asked, sample, chosen, place, jobs, engine, listener, decisive, files))  # type: ignore[arg-type]
    scored = rescore or retrain
    return Report(
        path.name,
        contents.digest,
        contents.title,
        tuple(steps),
        suite=suite_facts(contents),
        seed=chosen if scored else None,
        sample=sample if scored else None,
        remarks=(*remarks, *_remarks(contents, rescore, place)),
    )


def open_bundle(path: Path) -> Contents:
    """Read the contents of a bundle, or of the one in a published folder; every error names what was given."""
    try:
        return parse(read_files(bundle_in(path) or path))
    except BadBundleError as error:
        raise BadBundleError(f"{path.name}: {error}") from None


def _taken(
    contents: Contents,
    level: ProofLevel,
    asked: bool,
    sample: float,
    seed: int,
    store: Store,
    jobs: int | None,
    engine: str,
    listener: Listener | None,
    decisive: bool,
    files: Sequence[Path],
) -> Step:
    if not asked:
        return Step(level, "not asked")
    return check_scores(contents, Request(level, sample, seed, store, jobs, engine, listener, decisive, files))


def _remarks(contents: Contents, rescore: bool, store: Store) -> list[str]:
    """Return remarks for readers of the report."""
    remarks: list[str] = []
    carried = sum(bool(record.warnings) for records in contents.scores.values() for record in records)
    if carried and not states_remarks(contents.leaderboard):
        remarks.append(f"its board leaves out the remarks on {carried} scores, as those of an earlier simbench do")
    from_bundle = [key for key in contents.model_keys if not store.has_model(key)]
    if rescore and from_bundle:
        remarks.append(
            f"{len(from_bundle)} models came from the bundle: that they were trained as the suite says is only claimed"
        )
    return remarks
