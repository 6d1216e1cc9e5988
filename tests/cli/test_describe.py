"""`describe` shows what a component declares, and where it comes from."""

from __future__ import annotations

import json

import pytest

from simbench.errors import ExitCode


def test_describe_shows_formula_reference_range_and_origin(invoke):
    text = invoke("describe", "cka").stdout
    for said in ("Kornblith", "[0, 1]", "higher is more similar", "isotropic_scaling", "linear.py:"):
        assert said in text


def test_describe_shows_what_was_measured_beside_what_is_declared(invoke):
    (entry,) = json.loads(invoke("describe", "procrustes", "--json").stdout)
    assert entry["triangle_inequality"] is True
    measured = entry["measured"]
    assert set(measured["invariant_to"]) == {"permutation", "orthogonal", "isotropic_scaling", "translation"}
    assert measured["triangle_inequality"] == "0 of 360 triples violate it"
    text = " ".join(invoke("describe", "procrustes").stdout.split())
    for said in ("measured invariances permutation, orthogonal", "null level 1.1", "ms of CPU time a pair"):
        assert said in text


def test_a_similarity_is_not_asked_about_triangles(invoke):
    assert "triangle" not in invoke("describe", "cka").stdout


def test_nothing_is_said_to_be_measured_of_a_metric_of_the_users_own(invoke, metric_file):
    (entry,) = json.loads(invoke("describe", metric_file("mine"), "--json").stdout)
    assert entry["measured"] is None
    assert "measured" not in invoke("describe", metric_file("mine")).stdout


def test_describe_shows_parameters_with_their_defaults(invoke):
    (entry,) = json.loads(invoke("describe", "svcca", "--json").stdout)
    assert entry["parameters"] == [{"name": "variance", "type": "float, > 0, ≤ 1", "default": "0.99"}]


def test_describe_shows_the_parameters_of_a_transform(invoke):
    (entry,) = json.loads(invoke("describe", "invertible_linear", "--json").stdout)
    assert entry["parameters"] == [{"name": "condition", "type": "float, ≥ 1, ≤ 1e+06", "default": "10.0"}]


def test_parameters_are_shown_as_a_suite_gives_them(invoke):
    (entry,) = json.loads(invoke("describe", "upper_bound", "--json").stdout)
    shown = {parameter["name"]: (parameter["type"], parameter["default"]) for parameter in entry["parameters"]}
    assert shown["bounds"][0] == "dict[str, Bound]"
    assert "'logit_map_loss': {'by': {'name': 'logit_distance'}, 'times': 1.0, 'power': 1.0}" in shown["bounds"][1]
    assert shown["classes"][0] == "list[4 | 5 | 6 | 10 | 18]"
    assert shown["levels"] == ("list[int ≥ 1]", "[1, 61, 121, 181, 241]")


@pytest.mark.parametrize("name", ["identity", "orthogonal", "mnist1d", "conv1d", "quick"])
def test_every_kind_of_name_can_be_described(invoke, name):
    (entry,) = json.loads(invoke("describe", name, "--json").stdout)
    assert entry["name"] == name
    assert entry["doc"]


def test_an_unknown_name_is_answered_with_the_nearest(invoke):
    done = invoke("describe", "svca")
    assert (done.exit_code, done.stdout) == (ExitCode.USAGE, "")
    assert 'unknown component or suite "svca"; did you mean "svcca"?' in done.stderr


def test_a_metric_in_a_file_can_be_described(invoke, metric_file):
    done = invoke("describe", metric_file("mine"))
    assert "A metric of the user's own." in done.stdout
    assert "mine.py:5" in done.stdout.replace("\n", "")
