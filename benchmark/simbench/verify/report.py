"""Report of a verification: four levels, each with what it proves and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from simbench.errors import ExitCode
from simbench.verify.reproduction import CLASSES, DeviationClass, counted
from simbench.verify.suite_facts import SuiteFacts

ProofLevel = Literal["claimed", "regraded", "rescored", "reproduced"]
Status = Literal["verified", "differs", "unchecked", "not asked"]
# Largest number of printed findings of one level; `--json` has them all.
SHOWN = 20

PROVES: dict[ProofLevel, str] = {
    "claimed": "the files are those that the author packed, well formed and complete",
    "regraded": "keys, grades, intervals and standing follow from the scores and the suite",
    "rescored": "metrics, computed here on the same trained models, give the scores of the sample",
    "reproduced": "models trained here from scratch, as the suite says, give the scores of the sample, as closely as "
    "networks trained elsewhere can, and no decided verdict turns",
}
PROVES_NOT: dict[ProofLevel, str] = {
    "claimed": "that any number in them is right: whoever changes a file can also change its checksum",
    "regraded": "that the scores were ever measured",
    "rescored": "that the models were trained as the suite says, nor the scores outside the sample",
    "reproduced": "the scores outside the sample, nor how they differ within what training again gives",
}
# What is in a bundle and follows from nothing else in it, at any level.
NEVER_PROVED = (
    "seconds, machine, device and versions of the runs",
    "the text about the suite",
    "the simbench that made the board, and the bundles it was merged from",
)
HOW: dict[ProofLevel, str] = {"rescored": "--rescore", "reproduced": "--retrain"}


@dataclass(frozen=True)
class Discrepancy:
    """Difference between a bundle and what was found."""

    check: str
    """`checksum`, `suite`, `metric`, `key`, `score`, `verdict`, `grade`, `standing`, `provenance` or `document`."""
    where: str
    claimed: Any = None
    found: Any = None
    note: str = ""

    def __str__(self) -> str:
        """Return the finding as one line."""
        if self.note:
            return f"{self.check}: {self.where}: {self.note}"
        return f"{self.check}: {self.where}: claimed {_short(self.claimed)}, found {_short(self.found)}"


@dataclass(frozen=True)
class Agreement:
    """Counts and deviations of one metric's scores that were computed again."""

    metric: str
    equal: int = 0
    rounding: int = 0
    """Scores that are off by what rounding gives."""
    retraining: int = 0
    """Scores that are off by what training again gives: of a network, or of a map that the metric trains."""
    seeds: int = 0
    """Scores that are off by no more than the same comparison of other seeds is."""
    outside: int = 0
    unchecked: int = 0
    tolerance: float = 0.0
    """Largest deviation allowed, relative to the metric's spread."""
    scale: float = 0.0
    largest: float = 0.0
    """Largest deviation found, in the metric's own unit."""

    @property
    def counts(self) -> dict[DeviationClass, int]:
        """Numbers of scores by how far they are off."""
        return {kind: getattr(self, kind) for kind in CLASSES}

    @property
    def compared(self) -> int:
        """Number of scores that were taken again."""
        return sum(self.counts.values())

    @property
    def within(self) -> int:
        """Number of scores that are not bit-equal, and not outside."""
        return self.rounding + self.retraining + self.seeds


@dataclass(frozen=True)
class Step:
    """Outcome of one level."""

    level: ProofLevel
    status: Status
    summary: str = ""
    findings: tuple[Discrepancy, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Parts that could not be checked, each with the reason."""
    tallies: tuple[Agreement, ...] = ()
    undecided: tuple[str, ...] = ()
    """Verdicts that turn with the scores taken again, but not from one decided verdict to another."""


@dataclass(frozen=True)
class Report:
    """Report of a whole verification."""

    bundle: str
    digest: str
    title: str
    steps: tuple[Step, ...]
    suite: SuiteFacts | None = None
    seed: int | None = None
    sample: float | None = None
    remarks: tuple[str, ...] = field(default=())

    @property
    def reached(self) -> ProofLevel | None:
        """Highest level up to which everything was verified."""
        level: ProofLevel | None = None
        for step in self.steps:
            if step.status == "not asked":
                continue
            if step.status != "verified":
                break
            level = step.level
        return level

    @property
    def exit_code(self) -> ExitCode:
        """Exit code: 0 verified, 1 something differs, 3 a requested check was not possible."""
        statuses = {step.status for step in self.steps}
        if "differs" in statuses:
            return ExitCode.VERDICT_FAILED
        return ExitCode.INCOMPLETE if "unchecked" in statuses else ExitCode.OK

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for `--json`."""
        return {
            "schema_version": 1,
            "bundle": self.bundle,
            "digest": self.digest,
            "suite": self.title,
            "reached": self.reached,
            "verified": self.exit_code == ExitCode.OK,
            "exit_code": int(self.exit_code),
            "seed": self.seed,
            "sample": self.sample,
            "remarks": list(self.remarks),
            "never_proved": list(NEVER_PROVED),
            "facts": None if self.suite is None else vars(self.suite),
            "levels": [
                {
                    "level": step.level,
                    "status": step.status,
                    "summary": step.summary,
                    "proves": PROVES[step.level],
                    "does_not_prove": PROVES_NOT[step.level],
                    "findings": [vars(finding) for finding in step.findings],
                    "unchecked": list(step.unchecked),
                    "undecided": list(step.undecided),
                    "metrics": [vars(tally) for tally in step.tallies],
                }
                for step in self.steps
            ],
        }


def lines(report: Report) -> list[str]:
    """Return the report as lines of text."""
    text = [f"{report.bundle}: {report.title}, bundle {report.digest[:16]}"]
    if report.suite is not None:
        text += _suite_lines(report.suite)
    for step in report.steps:
        text += _step_lines(step)
    text.append(f"no level proves: {'; '.join(NEVER_PROVED)}")
    text += [f"note: {remark}" for remark in report.remarks]
    text.append(_conclusion(report))
    return text


def _suite_lines(facts: SuiteFacts) -> list[str]:
    text = [f"  suite: digest {facts.digest[:16]}: {facts.standing}"]
    text += [f"    test {name} ({kind}): passes if {threshold}" for name, kind, threshold in facts.tests]
    text.append(f"  metrics on the board: {len(facts.metrics)}: {', '.join(facts.metrics)}")
    if facts.absent:
        text.append(f"  metrics of the suite that are not on the board: {', '.join(facts.absent)}")
    return text


def _step_lines(step: Step) -> list[str]:
    if step.status == "not asked":
        return [f"  –  {step.level}: not asked for ({HOW[step.level]})"] if step.level in HOW else []
    mark = {"verified": "✓", "differs": "✗", "unchecked": "?"}[step.status]
    text = [f"  {mark}  {step.level}: {step.summary}"]
    if step.status == "verified":
        text.append(f"       proves: {PROVES[step.level]}")
        text.append(f"       does not prove: {PROVES_NOT[step.level]}")
    text += [f"     {_tally_line(tally)}" for tally in step.tallies]
    text += [f"     {line}" for line in _first(step.findings)]
    text += [f"     another verdict here, where not both are decided: {line}" for line in _first(step.undecided)]
    return text + [f"     not checked: {line}" for line in _first(step.unchecked)]


def _tally_line(tally: Agreement) -> str:
    counts = counted(tally.counts)
    missing = f", {tally.unchecked} not checked" if tally.unchecked else ""
    limits = f"tolerance {tally.tolerance:g} × {tally.scale:.3g}, largest |Δ| {tally.largest:.2g}"
    return f"{tally.metric}: {counts}{missing} ({limits})"


def _first(items: Sequence[Any]) -> list[str]:
    shown = [str(item) for item in items[:SHOWN]]
    return [*shown, f"… and {len(items) - SHOWN} more (--json has all)"] if len(items) > SHOWN else shown


def _conclusion(report: Report) -> str:
    code = report.exit_code
    if code == ExitCode.VERDICT_FAILED:
        checks = dict.fromkeys(finding.check for step in report.steps for finding in step.findings)
        return f"NOT VERIFIED: {', '.join(checks)} not as claimed"
    if code == ExitCode.INCOMPLETE:
        return f"verified up to {report.reached}; the rest could not be checked here"
    return f"verified: {report.reached}"


def step_of(level: ProofLevel, summary: str, findings: Sequence[Discrepancy], unchecked: Sequence[str] = ()) -> Step:
    """Return a step whose status follows from its findings."""
    status: Status = "differs" if findings else "unchecked" if unchecked else "verified"
    return Step(level, status, summary, tuple(findings), tuple(unchecked))


def with_findings(step: Step, findings: Sequence[Discrepancy]) -> Step:
    """Return the step with more findings; if there are any, it is no longer verified."""
    all_findings = (*step.findings, *findings)
    return replace(step, status="differs" if all_findings else step.status, findings=all_findings)


def with_figures(step: Step, tallies: Sequence[Agreement], undecided: Sequence[str]) -> Step:
    """Return the step with the figures of each metric, and the undecided verdicts that turned."""
    return replace(step, tallies=tuple(tallies), undecided=tuple(undecided))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
