"""Provenance: the facts a number may depend on beyond its key, under an id that depends on nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from simbench.results.provenance import collect, identifier

FACTS = {"python": "3.11", "versions": {"torch": "2.4", "numpy": "1.26"}, "jobs": 2}


@pytest.mark.process
def test_the_same_facts_have_the_same_id_in_any_order_and_process() -> None:
    turned = {"jobs": 2, "versions": {"numpy": "1.26", "torch": "2.4"}, "python": "3.11"}
    script = f"from simbench.results.provenance import identifier; print(identifier({turned!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert identifier(FACTS) == identifier(turned) == done.stdout.strip() == "00b986cd43da6614"


def test_other_facts_have_another_id() -> None:
    assert identifier(FACTS) != identifier(FACTS | {"jobs": 3})


def test_facts_are_the_same_when_collected_again() -> None:
    one, other = (collect(device="cpu", device_name="a cpu", jobs=2, engine="serial") for _ in range(2))
    assert identifier(one) == identifier(other)


def test_facts_are_plain_data_and_complete() -> None:
    facts = collect(device="cpu", device_name="a cpu", jobs=2, engine="serial")
    assert json.loads(json.dumps(facts)) == facts
    assert {"commit", "dirty", "versions", "python", "os", "cpu", "device", "jobs", "engine", "dtype"} <= set(facts)
    assert "torch" in facts["versions"]
