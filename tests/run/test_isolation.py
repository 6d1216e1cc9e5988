"""A metric that works in place, or changes the process, spoils no score of another one, whichever engine runs it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from simbench.grading import stored_records
from simbench.registry import METRICS
from simbench.results.store import Store
from simbench.run.session import prepare, run

SPOILERS = """\
import random
import os
import numpy as np
import torch
import simbench


@simbench.metric("in_place", version=1, higher_is_more_similar=True)
def in_place(x, y):
    x -= x.mean(dim=0)
    return float((x * y).sum())


@simbench.metric("weights", version=1, higher_is_more_similar=True, needs={"model", "fit"})
def weights(a, b):
    for parameter in b.model.network.parameters():
        parameter.numpy()[:] = 0
    b.fit.activations.numpy()[:] = 0
    return float(a.logits.sum())


@simbench.metric("process", version=1, higher_is_more_similar=True)
def process(x, y):
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(True)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    os.chdir("/")
    return 0.5
"""


@pytest.mark.parametrize("engine", ["serial", pytest.param("processes", marks=pytest.mark.process)])
def test_spoilers_are_errors_and_all_others_score_as_without_them(tiny: Path, tmp_path: Path, engine: str) -> None:
    spoilers = tmp_path / "spoilers.py"
    spoilers.write_text(textwrap.dedent(SPOILERS))
    stores = {name: tmp_path / name for name in ("alone", "together")}
    with METRICS.isolated():
        run(str(tiny), store=stores["alone"], engine="serial")
        # before the suite's own in one worker, and once more: what a worker keeps is not spoiled either
        result = run(
            str(tiny), metrics=[str(spoilers)], suite_metrics=False, store=stores["together"], engine=engine, jobs=1
        )
        run(str(tiny), metrics=[str(spoilers)], store=stores["together"], engine=engine, jobs=1)
        plan = prepare(str(tiny), [str(spoilers)])
        scores = {
            name: {label: [(r.key, r.status, r.value) for r in by_key.values()] for label, by_key in kept.items()}
            for name, store in stores.items()
            if (kept := stored_records(plan, Store(store)))
        }
    own = [label for label in scores["alone"] if scores["alone"][label]]
    assert [label for label in own if scores["alone"][label] != scores["together"][label]] == []
    statuses = {name: {status for _, status, _ in scores["together"][name]} for name in ("in_place", "weights")}
    assert statuses == {"in_place": {"error"}, "weights": {"error"}}
    assert {status for _, status, _ in scores["together"]["process"]} == {"ok"}
    assert not result.complete
