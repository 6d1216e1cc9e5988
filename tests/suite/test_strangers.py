"""A suite of a stranger is read within bounds, whatever is in it; each of these files once took minutes or crashed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.suite.conftest import VALID

from simbench.errors import MOST_SHOWN, SimbenchError, SuiteError
from simbench.plan.plan import check_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.registry import METRICS
from simbench.suite.bounded_yaml import LARGEST_SUITE, MOST_VALUES
from simbench.suite.load import load_suite

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]
GROUP = "{architecture: {name: mlp, width: 8, depth: 3}, train: {dataset: digits, epochs: 1}}"


def laughs(levels: int) -> str:
    """Aliases of aliases: 10 to the power of `levels` values in a few lines."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


def numbers(count: int) -> str:
    return ", ".join(map(str, range(count)))


WHOLE_FILES = {
    "a billion laughs": (laughs(9), f"with aliases, more than {MOST_VALUES} values"),
    "3,000 levels": (f"about: {'[' * 3000}{']' * 3000}", "deep|nesting"),
    "1,000 levels of blocks": ("\n".join(f"{' ' * n}a:" for n in range(1000)), "40:40: nested more than 40 deep"),
    "aliases that nest": ("\n".join(["a0: &a0 {k: v}"] + [f"a{n}: &a{n} {{k: *a{n - 1}}}" for n in range(1, 60)]),
                          "with aliases, nested more than 40 deep"),
    "too many bytes": ("#" * LARGEST_SUITE + "\nsuite: x", f"larger than the {LARGEST_SUITE} bytes"),
    "100,000 unknown keys": ("\n".join(f"k{n}: 1" for n in range(100_000)), f"more than {MOST_VALUES} keys and values"),
    "directives": ("%TAG !a! tag:b,2000:\n" * 101 + "---\nsuite: x", "more than 100 lines that begin with %"),
    "a key that is a list": ("? [a, b]\n: c", "a key is a word"),
    "a key of 300 characters": (f"{'k' * 300}: 1", "a key of 300 characters"),
    "another type": ("suite: !!binary aGk=", "a value of type bytes may not stand"),
    "a tag that contradicts": ('suite: !!int ""', "1:8: not a value of the type int"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_a_file_that_is_made_to_be_slow_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=said):
        load_suite(str(path))


TESTS = "".join(f"  - {{id: t{n}, kind: identity, models: [net]}}\n" for n in range(999))
LIKE = "".join(f"  n{n}: {{like: net}}\n" for n in range(900))
MISTAKES = {
    "half a character": ("suite: small", r'suite: "\ud800"', "1:(8|11): "),
    "an escape sequence": ("probe:", 'about: "\\e[31m"\nprobe:', r"3:8: the character U\+001B may not stand"),
    "a control character of Latin 1": ("probe:", 'about: "\\x9b31m"\nprobe:', r"3:8: the character U\+009B may not"),
    "ten million layers": ("depth: 3", "depth: 10000000", '"depth": Input should be less than or equal to 1000'),
    "too wide": ("width: 8", "width: 1000000000000", '"width": Input should be less than or equal to 100000'),
    "too many epochs": ("epochs: 1}", "epochs: 1000000000}", "epochs: input should be less than or equal to"),
    "too many inputs": ("inputs: 100}", "inputs: 1000000000}", "probe.inputs: input should be less than or equal to"),
    "too many seeds": ("metrics:", f"    seeds: [{numbers(1001)}]\nmetrics:", "seeds: list should have at most 1000"),
    "too many layers": ("metrics:", f"    layers: [{numbers(1001)}]\nmetrics:", "layers: list should have at most"),
    "too many metrics": ("[cka]", f"[{', '.join(['cka'] * 1001)}]", "metrics: value should have at most 1000"),
    "too many models": ("  net:\n", "".join(f"  n{n}: {{like: net}}\n" for n in range(2000)) + "  net:\n",
                        "models: dictionary should have at most 2000"),
    "too many tests": ("  - id: first", TESTS
                       + "  - id: first", "tests: list should have at most 1000"),
    "too many models times layers": ("depth: 3}\n", f"depth: 1000}}\n    seeds: [{numbers(1000)}]\n",
                                     "4:1: 1000000 layers in 1000 models; a suite may have 200000"),
    "groups like a large one": ("metrics:", f"    seeds: [{numbers(900)}]\n" + LIKE + "metrics:", "groups like others"),
    "a long id": ("id: first", f"id: {'f' * 300}", "id: string should have at most 100 characters"),
    "a number beyond 64 bits": ("version: 1", f"version: {'9' * 30}", "2:10: not a number of 64 bits"),
    "a number that is slow to read": ("version: 1", f"version: {'1:' * 5000}1", "2:10: a value of 10001 characters"),
    "infinity": ("epochs: 1}", "epochs: 1, learning_rate: .inf}", "7:56: not a finite number"),
    "infinity in other words": ("epochs: 1}", "epochs: 1, learning_rate: 1e999}", "7:56: not a finite number"),
    "a path that no system holds": ("[cka]", f"[{'m' * 300}.py]", "8:11: no such file"),
    "a suite that no system holds": ("suite: small", f"extends: {'e' * 5000}.yaml", "no such file"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_value_beyond_bounds_is_one_line(changed: Changed, old: str, new: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said) as raised:
        load_suite(str(changed(old, new)))
    assert len(raised.value.problems) == 1


def test_of_many_mistakes_the_first_are_shown_and_the_others_counted(changed: Changed) -> None:
    unknown = "".join(f"key{n}: 1\n" for n in range(5000))
    with pytest.raises(SuiteError) as raised:
        load_suite(str(changed("version: 1\n", f"version: 1\n{unknown}")))
    lines = str(raised.value).splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert 'suite.yaml:3:1: unknown key "key0"' in lines[0]
    assert 'suite.yaml:22:1: unknown key "key19"' in lines[-2]
    assert lines[-1] == "… and 4980 more"


def test_a_chain_of_suites_ends(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"s{number}.yaml").write_text(f"extends: s{number + 1}.yaml\n")
    with pytest.raises(SuiteError, match="more than 20 suites extend one another"):
        load_suite(str(tmp_path / "s0.yaml"))


def test_suites_that_extend_one_another_share_the_bound_on_bytes(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"s{number}.yaml").write_text(f"extends: s{number + 1}.yaml\n#{'x' * (LARGEST_SUITE // 2)}\n")
    with pytest.raises(
        SuiteError, match=r"s1.yaml: larger than the \d+ bytes that a suite may have, with what it extends"
    ):
        load_suite(str(tmp_path / "s0.yaml"))


def test_a_date_is_text_as_in_yaml_1_2(changed: Changed) -> None:
    assert load_suite(str(changed("version: 1\n", "version: 1\nabout: 2001-01-01\n"))).about == "2001-01-01"


def test_a_suite_of_very_many_comparisons_is_checked_without_listing_them(changed: Changed) -> None:
    net = f"    architecture: {{name: mlp, width: 8, depth: 200}}\n    seeds: [{numbers(900)}]\n"
    path = changed("    architecture: {name: mlp, width: 8, depth: 3}\n", net)
    text = path.read_text() + "".join(
        f"  - {{id: {kind}, kind: {kind}, models: [net]}}\n"
        for kind in ("correspondence", "layer_monotonicity", "probe_correlation", "output_correlation")
    )
    path.write_text(text)
    suite = load_suite(str(path))
    assert set(check_plan(suite, [METRICS.get("cka")]).values()) == {None}


def test_a_test_of_too_many_comparisons_is_refused_when_it_is_planned(changed: Changed, monkeypatch) -> None:
    from simbench.plan.plan import make_plan
    from simbench.sanity import kind

    monkeypatch.setattr(kind, "MOST_COMPARISONS", 8)
    suite = load_suite(str(changed("width: 8", "width: 9")))
    with pytest.raises(SimbenchError, match='test "first" needs more than 8 comparisons of each metric'):
        make_plan(suite, gather_metrics(suite))


def test_groups_that_are_like_others_are_completed_in_any_number(tmp_path: Path) -> None:
    """Each once copied the whole document, so that this took hours."""
    groups = f"  net: {GROUP}\n  n0: {{like: net, seeds: [1, 2]}}\n" + "".join(
        f"  n{n}: {{like: n{n - 1}}}\n" for n in range(1, 1500)
    )
    path = tmp_path / "suite.yaml"
    start, end = VALID.index("  net:\n"), VALID.index("metrics:")
    path.write_text(VALID[:start] + groups + VALID[end:])
    suite = load_suite(str(path))
    assert suite.models["n1499"].seeds == [1, 2]
    assert list(suite.models)[:3] == ["net", "n0", "n1"]


def test_mistakes_in_the_names_of_very_many_groups_share_the_valid_names(tmp_path: Path) -> None:
    """Each once had a list of its own, a gigabyte in all."""
    import tracemalloc

    start, end = VALID.index("  net:\n"), VALID.index("metrics:")
    path = tmp_path / "suite.yaml"
    path.write_text(VALID[:start] + "".join(f"  n{n}: {{like: m{n}}}\n" for n in range(4000)) + VALID[end:])
    tracemalloc.start()
    with pytest.raises(SuiteError, match='5:14: unknown model "m0"; valid: n0'):
        load_suite(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
