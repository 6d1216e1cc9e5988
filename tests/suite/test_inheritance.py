"""Groups of models that are like another: what they take over, and whose mistake a mistake is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.suite.json_schema import suite_schema
from simbench.suite.load import load_suite
from simbench.suite.schema import ModelSpec

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]

TRAIN = "    train: {dataset: digits, epochs: 1}\n"


def groups_with(changed: Changed, more: str) -> dict[str, ModelSpec]:
    return load_suite(str(changed(TRAIN, f"{TRAIN}    seeds: [3, 4]\n    layers: [block1]\n{more}"))).models


def test_a_group_has_all_that_the_other_has(changed: Changed) -> None:
    groups = groups_with(changed, "  same: {like: net}\n")
    assert groups["same"] == groups["net"]


def test_what_it_declares_itself_is_merged_key_by_key(changed: Changed) -> None:
    groups = groups_with(
        changed,
        "  noisy: {like: net, architecture: {width: 4}, train: {label_noise: 0.5}, seeds: [1], layers: [block2]}\n",
    )
    noisy = groups["noisy"]
    assert noisy.architecture.parameters == {"width": 4, "depth": 3}
    assert noisy.train is not None
    assert (noisy.train.epochs, noisy.train.label_noise) == (1, 0.5)
    assert (noisy.seeds, noisy.layers) == ([1], ["block2"])


def test_the_other_group_stays_as_it_is_and_so_does_their_order(changed: Changed) -> None:
    before = groups_with(changed, "")["net"]
    groups = load_suite(
        str(
            changed(
                "  net:\n",
                "  noisy: {like: net, train: {label_noise: 0.5}}\n  net:\n    seeds: [3, 4]\n    layers: [block1]\n",
            )
        )
    ).models
    assert groups["net"] == before
    assert list(groups) == ["noisy", "net"]


def test_likeness_may_be_handed_on(changed: Changed) -> None:
    groups = groups_with(
        changed, "  third: {like: second, train: {epochs: 0}}\n  second: {like: net, train: {subset: 50}}\n"
    )
    trained = groups["third"].train
    assert trained is not None
    assert (trained.epochs, trained.subset) == (0, 50)


def test_a_trained_group_may_be_loaded_instead(changed: Changed) -> None:
    loaded = groups_with(changed, "  mine: {like: net, train: null, load: weights.pt}\n")["mine"]
    assert (loaded.train, loaded.load) == (None, "weights.pt")


def test_a_group_is_like_another_as_it_is_after_extending(tmp_path: Path, valid: str) -> None:
    base = valid.replace(TRAIN, f"{TRAIN}  noisy: {{like: net, train: {{label_noise: 0.5}}}}\n")
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nsuite: top\nmodels: {net: {train: {epochs: 7}}}\n")
    trained = load_suite(str(tmp_path / "top.yaml")).models["noisy"].train
    assert trained is not None
    assert (trained.epochs, trained.label_noise) == (7, 0.5)


MISTAKES = {
    "an unknown group": ("  b: {like: nett}\n", '8:13: unknown model "nett"; did you mean "net"?'),
    "a group like itself": ("  b: {like: b}\n", "8:13: models.b: a group cannot be like itself"),
    "groups like each other": (
        "  b: {like: c}\n  c: {like: b}\n",
        "9:13: models.c: a group cannot be like itself",
    ),
    "no name of a group": ("  b: {like: [net]}\n", "8:13: models.b.like: the name of one group is needed"),
    "a misspelt like": ("  b: {lke: net, load: w.pt, architecture: mlp}\n", '8:7: unknown key "lke" in models.b; did'),
    "a mistake of its own": (
        "  b: {like: net, train: {label_nois: 0.5}}\n",
        '8:26: unknown key "label_nois" in models.b.train; did you mean "label_noise"?',
    ),
    "a share above one": ("  b: {like: net, train: {label_noise: 1.5}}\n", "8:39: models.b.train.label_noise: input"),
    "no place for the shortcut's rate": ("  b: {like: net, train: {shortcut: -1}}\n", "8:36: models.b.train.shortcut:"),
}


@pytest.mark.parametrize(
    "like", ["{like: nett, seeds: [1]}", "{like: b}", "{like: c}\n  c: {like: b}", "{like: [net], architecture: mlp}"]
)
def test_a_group_that_is_like_none_hides_no_other_mistake(like: str, changed: Changed, problems_of: Problems) -> None:
    """What it would have taken over is not missed in it."""
    path = changed(TRAIN, f"{TRAIN}  b: {like}\n")
    (alone,) = problems_of(path)
    path.write_text(path.read_text().replace("[cka]", "[ckaa]").replace("width: 8", "widht: 8"))
    found = problems_of(path)
    assert alone in found
    assert [line.partition(": ")[2] for line in found if line != alone] == [
        'architecture mlp: unknown parameter "widht"; did you mean "width"?',
        'unknown metric "ckaa"; did you mean "cka"?',
    ]


def test_what_it_declares_itself_is_checked(changed: Changed, problems_of: Problems) -> None:
    more = "  b: {like: nett, sedes: [1], seeds: [1, 1], architecture: {name: mpl}, train: {epochs: -1}}\n"
    path = changed(TRAIN, f"{TRAIN}{more}  c: {{like: b, architecture: {{width: 4}}}}\n")
    assert problems_of(path) == [
        'suite.yaml:8:13: unknown model "nett"; did you mean "net"?',
        'suite.yaml:8:19: unknown key "sedes" in models.b; did you mean "seeds"?',
        "suite.yaml:8:38: models.b.seeds: a seed appears twice",
        'suite.yaml:8:67: unknown architecture "mpl"; did you mean "mlp"?',
        "suite.yaml:8:89: models.b.train.epochs: input should be greater than or equal to 0",
    ]


def test_which_layers_it_has_is_not_guessed(changed: Changed, problems_of: Problems) -> None:
    path = changed(
        TRAIN, f"{TRAIN}  b: {{like: nett, architecture: {{name: mlp}}}}\n  c: {{like: nett, architecture: vit}}\n"
    )
    text = path.read_text().replace(
        "models: [net]\n    transforms", "models: [b, c]\n    layers: [block9]\n    transforms"
    )
    path.write_text(text)
    assert [line.partition(": ")[0] for line in problems_of(path)] == ["suite.yaml:8:13", "suite.yaml:9:13"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_where_it_stands(mistake: str, changed: Changed, problems_of: Problems) -> None:
    more, expected = MISTAKES[mistake]
    found = problems_of(changed(TRAIN, TRAIN + more))
    assert found
    assert found[0].startswith(f"suite.yaml:{expected}"), found


def test_an_inherited_mistake_is_told_once_where_it_was_made(changed: Changed, problems_of: Problems) -> None:
    found = problems_of(changed(TRAIN, "    train: {dataset: digits, epoch: 1}\n  b: {like: net}\n  c: {like: b}\n"))
    assert found == [
        'suite.yaml:7:5: key "epochs" is missing in models.net.train',
        'suite.yaml:7:30: unknown key "epoch" in models.net.train; did you mean "epochs"?',
    ]


def test_it_is_told_of_the_group_that_made_it_even_where_that_comes_last(
    changed: Changed, problems_of: Problems
) -> None:
    path = changed("  net:\n", "  b: {like: net}\n  net:\n    sedes: [1]\n")
    assert problems_of(path) == ['suite.yaml:7:5: unknown key "sedes" in models.net; did you mean "seeds"?']


def test_what_is_wrong_only_in_the_group_that_inherits_is_told(changed: Changed, problems_of: Problems) -> None:
    """The layer is one of the other group, and no longer one of this."""
    more = "    layers: [block3]\n  b: {like: net, architecture: {depth: 2}}\n"
    assert problems_of(changed(TRAIN, TRAIN + more))[0].startswith('suite.yaml:8:14: unknown layer of mlp "block3"')


def test_the_schema_lets_a_group_that_is_like_another_declare_only_what_differs() -> None:
    schema = suite_schema()
    whole, changes = schema["properties"]["models"]["additionalProperties"]["anyOf"]
    assert "like" not in schema["$defs"][whole["$ref"].rpartition("/")[2]]["properties"]
    alike = schema["$defs"][changes["$ref"].rpartition("/")[2]]
    assert alike["required"] == ["like"]
    assert "required" not in schema["$defs"]["TrainingChanges"]
    assert "TrainingChanges" in str(alike["properties"]["train"])
