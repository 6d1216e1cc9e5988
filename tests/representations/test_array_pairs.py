"""Arrays with positions, as `score` reads them: by sizes where these tell the layout, and otherwise it is asked for."""

import pytest
import torch
from torch import Tensor

import simbench
from simbench.errors import SimbenchError, UnknownNameError
from simbench.representations.array_pairs import RULES, read_pair
from simbench.representations.layouts import layouts_of
from simbench.representations.representation import Representation
from simbench.representations.spatial import OF_SEQUENCES

FIRST, LAST = "channels_first", "channels_last"


@pytest.mark.parametrize(
    ("x", "y", "layouts"),
    [
        ((8, 6, 6), (4, 6, 6), (FIRST, FIRST)),
        ((6, 6, 8), (6, 6, 4), (LAST, LAST)),
        ((8, 6, 6), (6, 6, 4), (FIRST, LAST)),
        ((8, 6, 6), (4, 3, 3), (FIRST, FIRST)),
        ((8, 5, 6), (4, 5, 6), (FIRST, FIRST)),
        ((5, 6, 8), (5, 6, 4), (LAST, LAST)),
        ((8, 1, 1), (1, 1, 8), (FIRST, LAST)),
        ((8, 6, 6), (16,), (FIRST, "vector")),
        ((6, 6, 6), (8, 6, 6), (None, FIRST)),
        ((6, 6, 6), (6, 6, 6), (None, None)),
        ((4, 5, 6), (4, 5, 6), (None, None)),
        ((4, 5, 6), (16,), (None, "vector")),
        ((6, 6, 8), (12, 6, 8), (None, None)),
        ((8, 20), (4, 20), (None, None)),
        ((20, 8), (20, 4), (None, None)),
        ((8, 20), (16,), (None, "vector")),
    ],
)
def test_sizes_tell_the_layout_or_nothing_does(
    x: tuple[int, ...], y: tuple[int, ...], layouts: tuple[str | None, ...]
) -> None:
    assert layouts_of([(50, *x), (50, *y)]) == list(layouts)
    assert layouts_of([(50, *y), (50, *x)]) == list(layouts[::-1])


def maps(seed: int, *shape: int) -> Tensor:
    return torch.randn(50, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rule", OF_SEQUENCES)
def test_rules_of_sequences_have_no_answer_on_maps(rule: str) -> None:
    with pytest.raises(SimbenchError, match=f"x has a grid of positions, no sequence with a {rule} token"):
        simbench.score(maps(0, 8, 6, 6), maps(1, 4, 6, 6), spatial=rule)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in OF_SEQUENCES])
def test_channels_last_give_what_channels_first_give(rule: str) -> None:
    x, y = maps(0, 8, 6, 6), maps(1, 4, 6, 6)
    last, other = (side.permute(0, 2, 3, 1) for side in (x, y))
    expected = simbench.score(x, y, spatial=rule)
    assert simbench.score(last, other, spatial=rule) == pytest.approx(expected, abs=1e-12)
    assert simbench.score(x, other, spatial=rule) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("flatten", lambda x: x.flatten(1)),
        ("pool", lambda x: x.mean((2, 3))),
        ("all", lambda x: x.permute(0, 2, 3, 1).flatten(0, 2)),
    ],
)
def test_each_rule_gives_the_score_of_its_matrix(rule: str, rows: object) -> None:
    assert callable(rows)
    x, y = maps(0, 8, 6, 6), maps(1, 4, 6, 6)
    value = simbench.score(x, y, spatial=rule)
    assert value == pytest.approx(simbench.score(rows(x), rows(y)), abs=1e-12)
    assert (value.spatial, value.layouts, value.warnings) == (rule, (FIRST, FIRST), ())


def test_the_usual_rule_is_named_where_none_is_given() -> None:
    with pytest.warns(UserWarning, match=r"read x \(50, 8, 6, 6\) channels_first, .*; positions: rows are inputs"):
        value = simbench.score(maps(0, 8, 6, 6), maps(1, 4, 6, 6))
    assert value.spatial == "positions"
    assert value == simbench.score(maps(0, 8, 6, 6), maps(1, 4, 6, 6), spatial="positions")


def test_vectors_are_read_under_no_rule() -> None:
    value = simbench.score(maps(0, 8), maps(1, 4))
    assert (value.spatial, value.layouts, value.warnings) == (None, ("vector", "vector"), ())


@pytest.mark.parametrize(("shape", "choices"), [((7, 5), "channels_last, tokens"), ((6, 6, 6), "channels_last")])
def test_what_cannot_be_told_is_asked_for(shape: tuple[int, ...], choices: str) -> None:
    x, y = maps(0, *shape), maps(1, *shape)
    with pytest.raises(SimbenchError, match=rf"x: which axis .* its layout \(channels_first, {choices}\)"):
        simbench.score(x, y)
    by_layout = {layout: simbench.score(x, y, spatial="pool", layout=layout) for layout in (FIRST, LAST)}
    assert by_layout[FIRST] != by_layout[LAST]
    assert simbench.score(x, y.movedim(1, -1), spatial="pool", layout=[FIRST, LAST]) == pytest.approx(
        by_layout[FIRST], abs=1e-12
    )
    assert simbench.score(x, y, spatial="flatten") == pytest.approx(
        simbench.score(x.flatten(1), y.flatten(1)), abs=1e-12
    )


def test_a_metric_of_sequences_is_given_tokens() -> None:
    x, y = maps(0, 12, 3), maps(1, 12, 3)
    value = simbench.score(x, y, "dsa", spatial="positions")
    assert value.layouts == ("tokens", "tokens")
    assert value == simbench.score(x, y, "dsa", spatial="positions", layout="tokens")


def test_maps_and_tokens_say_that_their_positions_do_not_correspond() -> None:
    x = maps(0, 6, 6, 8)
    tokens = x.flatten(1, 2)
    with pytest.warns(UserWarning, match="positions do not correspond: those of x have 2 axes and those of y 1"):
        by_position = simbench.score(x, tokens, spatial="positions", layout=LAST)
    assert by_position < 0.5
    for rule in ("pool", "flatten", "all"):
        value = simbench.score(x, tokens, spatial=rule, layout=LAST)
        assert value == pytest.approx(1, abs=1e-9)
        assert value.warnings == ()


@pytest.mark.parametrize(("shape", "whose"), [((6, 3, 3), "their positions differ"), ((6,), "only one has positions")])
def test_other_numbers_of_positions_say_which_rule_will_do(shape: tuple[int, ...], whose: str) -> None:
    with pytest.raises(SimbenchError, match=f"x has 1250 rows and y .*: {whose}; .* pool or flatten"):
        simbench.score(maps(0, 6, 5, 5), maps(1, *shape), spatial="all", layout=FIRST)


def test_volumes_need_their_layout() -> None:
    x, y = maps(0, 3, 2, 2, 2), maps(1, 3, 2, 2, 2)
    with pytest.raises(SimbenchError, match="at most 4 dimensions"):
        simbench.score(x, y, spatial="pool")
    value = simbench.score(x, y, spatial="pool", layout=FIRST)
    assert value == pytest.approx(simbench.score(x.mean((2, 3, 4)), y.mean((2, 3, 4))), abs=1e-12)


def test_representations_keep_their_layout_and_take_the_rule() -> None:
    x, y = (Representation(maps(seed, 6, 6, 6), "channels_last") for seed in (0, 1))
    value = simbench.score(x, y, spatial="pool")
    assert value == simbench.score(x.activations.mean((1, 2)), y.activations.mean((1, 2)))
    assert value.layouts == (LAST, LAST)


@pytest.mark.parametrize("layout", ["vector", "nhwc"])
def test_a_representation_with_positions_says_where_its_features_are(layout: str) -> None:
    x = Representation(maps(0, 6, 5, 5), layout)  # type: ignore[arg-type]
    with pytest.raises(SimbenchError, match=f'y: the layout of a Representation of 4 axes is .*, not "{layout}"'):
        simbench.score(maps(1, 6), x)


def test_a_layout_beside_that_of_a_representation_is_refused() -> None:
    x = Representation(maps(0, 6, 5, 5), "channels_first")
    assert simbench.score(x, x, layout=[FIRST, FIRST], spatial="pool") == pytest.approx(1)
    with pytest.raises(SimbenchError, match=r"y: a Representation has its layout \(channels_first\)"):
        simbench.score(x, x, layout=[FIRST, LAST])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial": "pol"}, 'unknown spatial rule "pol"; did you mean "pool"'),
        ({"layout": "chanels_last"}, 'unknown layout "chanels_last"; did you mean "channels_last"'),
        ({"spatial": 3}, 'unknown spatial rule "3"; valid: '),
        ({"layout": 3}, 'unknown layout "3"; valid: '),
        ({"layout": [FIRST] * 3}, "one for both arrays, or one for each"),
    ],
)
def test_options_that_are_not_valid_are_told(options: dict[str, object], message: str) -> None:
    with pytest.raises((SimbenchError, UnknownNameError), match=message):
        read_pair([maps(0, 4), maps(1, 4)], ("x", "y"), **options)  # type: ignore[arg-type]
