"""`list` shows all components of a kind, what they declare, and where they come from."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from simbench.errors import ExitCode
from simbench.registry import METRICS

KINDS = (
    *("metrics", "tests", "transforms", "datasets", "architectures", "generators", "reparametrisations", "loaders"),
    *("engines", "wrappers", "suites"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed(invoke, kind):
    done = invoke("list", kind)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_json_list_is_one_document_with_origin_and_broken_plugins(invoke, kind):
    listed = json.loads(invoke("list", kind, "--json").stdout)
    assert isinstance(listed["broken_plugins"], list)
    assert all(entry["name"] and entry["file"] and entry["line"] >= 1 for entry in listed[kind])


def test_all_registered_metrics_are_listed(invoke):
    listed = json.loads(invoke("list", "metrics", "--json").stdout)
    assert [entry["name"] for entry in listed["metrics"]] == list(METRICS.names())


def test_an_unknown_kind_is_a_usage_error(invoke):
    assert invoke("list", "metric").exit_code == ExitCode.USAGE


@pytest.mark.process
def test_listing_imports_no_torch():
    code = (
        "import sys; from simbench.catalogue.entries import entries; from simbench.catalogue.kinds import ListedKind\n"
        "for kind in ListedKind: entries(kind)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_list_of_metrics_shows_formula_properties_and_reference(invoke):
    text = " ".join(invoke("list", "metrics").stdout.split())
    for said in ("↓ [0, 1.414] · symmetric", "PT OT IS TR measured", "needs head", "Kornblith"):
        assert said in text
