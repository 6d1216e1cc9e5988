"""Provenance of scores: commit, versions, machine, threads, device."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import simbench

PACKAGE = Path(simbench.__file__).resolve().parent
# Where the package stands in a checkout of simbench.
IN_CHECKOUT = Path("benchmark", "simbench")
PACKAGES = ("simbench-leaderboard", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "mnist1d")


def collect(*, device: str, device_name: str, jobs: int, engine: str) -> dict[str, Any]:
    """Collect the facts that a score may depend on beyond its key."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": _dirty(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "python": platform.python_version(),
        "os": platform.platform(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": device,
        "device_name": device_name,
        "threads_per_worker": 1,
        "jobs": jobs,
        "engine": engine,
        "dtype": "float64 for matrix metrics, float32 for networks",
    }


def identifier(facts: dict[str, Any]) -> str:
    """Return a short id of the facts: equal facts have equal ids."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def made_with() -> dict[str, Any]:
    """Return what a board says of the simbench that made it: its version and, in a checkout of its own, the commit."""
    facts: dict[str, Any] = {"simbench": _version("simbench-leaderboard") or simbench.__version__}
    if (commit := _git("rev-parse", "HEAD")) is not None:
        facts |= {"commit": commit, "dirty": bool(_dirty())}
    return facts


def committed_hashes(file: str) -> set[str] | None:
    """Return the SHA-256 of a source file of the package (`simbench/…`) in every commit that is here.

    None without a checkout of simbench, or with one that has no history.
    """
    path = f":/{IN_CHECKOUT.parent.as_posix()}/{file}"
    history = _git("log", "--all", "--format=", "--raw", "--no-abbrev", "--no-renames", "--", path)
    if history is None or _git("rev-parse", "--is-shallow-repository") != "false":
        return None
    # ":100644 100644 <blob before> <blob after> M\t<path>"
    blobs = {line.split()[3] for line in history.splitlines() if line.startswith(":")}
    contents = (_git_bytes("cat-file", "blob", blob) for blob in blobs if blob.strip("0"))
    return {hashlib.sha256(content).hexdigest() for content in contents if content is not None}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return git's answer about the checkout that this package runs from, as text."""
    answer = _git_bytes(*arguments)
    return None if answer is None else answer.decode().strip()


def _git_bytes(*arguments: str) -> bytes | None:
    """Return git's answer about the checkout that this package runs from; None for an installed copy.

    A copy inside a checkout of something else, such as a virtual environment in the user's project, is no checkout.
    """
    top = next((folder for folder in PACKAGE.parents if (folder / ".git").exists()), None)
    if top is None or top / IN_CHECKOUT != PACKAGE:
        return None
    try:
        done = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _dirty() -> bool | None:
    """Tell whether the package or the suites differ from the commit; None without a checkout."""
    changed = _git("status", "--porcelain", "--", ":/benchmark", ":/suites")
    return None if changed is None else bool(changed)


def cpu_name() -> str:
    """Return the operating system's name for the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
