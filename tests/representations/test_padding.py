"""Padding is no data: rules for sequences, transforms and metrics read real tokens alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simbench.errors import NotApplicable
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS, TRANSFORMS
from simbench.representations.padding import PADDING, extent_of_real, padding_remarks, real_tokens
from simbench.representations.representation import Representation, SpatialRule, relative_positions

N, T, D = 40, 20, 6
LENGTHS = torch.arange(N) % 3 + 2  # 85 % of all tokens are padding
IDS = torch.where(torch.arange(T) < LENGTHS[:, None], torch.randint(0, 50, (N, T)), PADDING)


def _numbers(seed: int = 0) -> torch.Tensor:
    return torch.randn(N, T, D, generator=torch.Generator().manual_seed(seed))


def _sequence(mode="positions", seed: int = 0, ids: torch.Tensor = IDS, **rest) -> Representation:
    return Representation(_numbers(seed), "tokens", "block", inputs=ids, spatial=SpatialRule(mode), **rest)


def test_85_percent_are_padding():
    assert 0.8 < float((IDS < 0).double().mean()) < 0.9


def test_the_mask_is_taken_from_ids_of_as_many_tokens():
    assert torch.equal(_sequence().mask, IDS >= 0)
    assert real_tokens(IDS.clamp_min(0)) is None
    assert real_tokens(IDS.float()) is None
    assert Representation(_numbers(), "tokens", inputs=IDS[:, :-1]).mask is None
    assert Representation(_numbers(), "channels_first", inputs=IDS).mask is None


@pytest.mark.parametrize(("mode", "place"), [("last", LENGTHS - 1), ("cls", 0 * LENGTHS)])
def test_last_and_cls_are_real_tokens(mode, place):
    assert torch.equal(_sequence(mode).matrix, _numbers()[torch.arange(N), place])


def test_padding_may_come_first():
    left = IDS.flip(1)
    assert torch.equal(_sequence("last", ids=left).matrix, _numbers()[:, -1])
    assert torch.equal(_sequence("cls", ids=left).matrix, _numbers()[torch.arange(N), T - LENGTHS])


def test_pool_averages_real_tokens():
    expected = torch.stack([row[:length].double().mean(0) for row, length in zip(_numbers(), LENGTHS, strict=True)])
    torch.testing.assert_close(_sequence("pool").matrix.double(), expected)


def test_positions_are_drawn_among_real_tokens_as_they_are_without_padding():
    shown = [Representation(_numbers()[k : k + 1, :length], "tokens") for k, length in enumerate(LENGTHS.tolist())]
    drawn = relative_positions(N, 1, None)[:, 0, 0]
    expected = [part.activations[0, int(u * len(part.activations[0]))] for part, u in zip(shown, drawn, strict=True)]
    assert torch.equal(_sequence().matrix, torch.stack(expected))


@pytest.mark.parametrize("mode", ["positions", "pool", "last", "cls"])
def test_inputs_without_padding_have_the_numbers_that_they_have_where_there_is_none(mode):
    ids = IDS.clone()
    ids[::2] = 1
    masked, plain = _sequence(mode, ids=ids).matrix, _sequence(mode, ids=ids.clamp_min(0)).matrix
    assert torch.equal(masked[::2], plain[::2])
    assert mode == "cls" or not torch.equal(masked[1::2], plain[1::2])


@pytest.mark.parametrize("mode", ["positions", "pool", "last", "cls"])
def test_what_stands_at_padding_changes_no_score(mode):
    garbage = torch.where((IDS >= 0)[..., None], _numbers(), torch.full_like(_numbers(), torch.nan))
    other = Representation(garbage, "tokens", "block", inputs=IDS, spatial=SpatialRule(mode))
    right, same = _sequence(mode), _sequence(mode, seed=1)
    scores = score_pairs(METRICS.get("cka"), [right, other, same], [(0, 2), (1, 2)])
    assert scores[0].value == scores[1].value
    assert not scores[0].warnings


def test_cka_of_positions_is_that_of_real_tokens():
    """S2 of the design: with 85 % padding, .279 came out where real tokens give .448."""
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(200, T, D, generator=generator)
    second = first @ torch.randn(D, D, generator=generator) + torch.randn(200, T, D, generator=generator)
    ids = IDS.repeat(5, 1)
    padded = (ids < 0)[..., None]
    first, second = (torch.where(padded, torch.randn(200, T, D, generator=generator), x) for x in (first, second))
    rule, cka = SpatialRule("positions", 200), METRICS.get("cka")
    sides = [Representation(x, "tokens", inputs=ids, spatial=rule) for x in (first, second)]
    drawn = relative_positions(200, 1, 200)[:, 0, 0]
    place = (drawn * (ids >= 0).sum(1)).long()
    rows = [Representation.from_array(x[torch.arange(200), place]) for x in (first, second)]
    assert score_pairs(cka, sides, [(0, 1)])[0].value == pytest.approx(score_pairs(cka, rows, [(0, 1)])[0].value)


@pytest.mark.parametrize("name", ["noise", "iid_noise", "top_components", "outlier_rows", "class_noise"])
def test_transforms_leave_padding_alone_and_do_not_look_at_it(name):
    targets = torch.arange(N) % 2
    clean = _sequence(targets=targets, classes=2)
    loud = torch.where((IDS >= 0)[..., None], _numbers(), 1e6)
    noisy = Representation(loud, "tokens", "block", inputs=IDS, targets=targets, classes=2)
    changed, of_noisy = (TRANSFORMS.get(name)(side, seed=1).activations for side in (clean, noisy))
    padded = (IDS < 0)[..., None].expand_as(loud)
    assert torch.equal(changed[padded], _numbers()[padded])
    torch.testing.assert_close(changed[~padded], of_noisy[~padded])
    assert not torch.equal(changed[~padded], _numbers()[~padded])


def test_the_mask_goes_with_the_rows():
    shuffled = TRANSFORMS.get("row_shuffle")(_sequence("last"), seed=1)
    assert sorted(shuffled.matrix.tolist()) == sorted(_sequence("last").matrix.tolist())
    subset = TRANSFORMS.get("row_subset")(_sequence("last"), seed=1, inputs=10)
    assert {tuple(row) for row in subset.matrix.tolist()} <= {tuple(row) for row in _sequence("last").matrix.tolist()}


def test_remarks_say_where_padding_cannot_be_left_out():
    assert padding_remarks(_sequence()) == ()
    (flat,) = padding_remarks(_sequence("flatten"))
    assert flat == "padding counts as data: flatten reads all positions of block"
    (longer,) = padding_remarks(Representation(_numbers(), "tokens", "block", inputs=IDS[:, :-1]))
    assert longer == "padding counts as data: the positions of block are not the tokens of the inputs"
    without = IDS.clone()
    without[3] = PADDING
    (empty,) = padding_remarks(_sequence("last", ids=without))
    assert empty == "1 input has no token: block is read at padding there"
    sides = [_sequence("last", ids=without), _sequence("last", seed=1, ids=without)]
    assert score_pairs(METRICS.get("cka"), sides, [(0, 1)])[0].warnings == (empty,)


def test_rules_for_sequences_skip_maps():
    image = Representation(torch.randn(5, 3, 4, 4), "channels_first", "conv", spatial=SpatialRule("cls"))
    with pytest.raises(NotApplicable, match="conv has a grid of positions, no sequence with a cls token"):
        _ = image.matrix
    (score,) = score_pairs(METRICS.get("cka"), [image], [(0, 0)])
    assert score.status == "skip"


def test_extent_leaves_padding_out():
    x = torch.tensor([[[1.0], [9.0]], [[3.0], [torch.nan]]])
    assert extent_of_real(x, torch.tensor([[True, False], [True, False]])) == (3.0, 2.0)


def test_rows_and_extent_of_parts_are_those_of_the_whole():
    from simbench.representations.spatial import Part, rows_of
    from simbench.representations.writer import Extent

    for mode in ("positions", "pool", "last", "cls"):
        whole, extent = _sequence(mode), Extent()
        parts = []
        for first in range(0, N, 7):
            chosen = slice(first, first + 7)
            extent.see(_numbers()[chosen], whole.mask[chosen])
            piece = rows_of(_numbers()[chosen], "tokens", whole.spatial, Part(first, N), whole.mask[chosen])
            parts.append(piece)
        assert torch.equal(torch.cat(parts), whole.matrix)
        assert extent.now() == whole.extent


def test_maps_are_learned_on_real_tokens():
    """A sender that is the receiver under a linear map at real tokens, and anything at padding, is matched exactly."""
    from simbench.metrics.stitching.affine_maps import DirectMatching

    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(5))
    target = torch.where((IDS >= 0)[..., None], _numbers() @ mixing.T, 100 * _numbers(7))
    sender, receiver = _sequence(), Representation(target, "tokens", "block", inputs=IDS)
    sides = [Representation(**{**vars(side), "fit": side}) for side in (sender, receiver)]
    torch.testing.assert_close(DirectMatching().solve(*sides).weight.float(), mixing, rtol=1e-3, atol=1e-4)


def test_no_map_between_tokens_of_different_padding():
    from simbench.metrics.stitching.affine_maps import require_map

    with pytest.raises(NotApplicable, match="the padding of both is at different tokens"):
        require_map(_sequence(), _sequence(ids=IDS.flip(0)))


def test_maps_from_shuffled_rows_are_learned_where_both_are_real():
    from simbench.metrics.stitching.affine_maps import DirectMatching

    sender, receiver = TRANSFORMS.get("row_shuffle")(_sequence(), seed=1), _sequence(seed=1)
    sides = [Representation(**{**vars(side), "fit": side}) for side in (sender, receiver)]
    both = sender.mask & receiver.mask
    assert int(both.sum()) < int(receiver.mask.sum())
    x, y = sender.activations[both].double(), receiver.activations[both].double()
    expected = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution.T
    torch.testing.assert_close(DirectMatching().solve(*sides).weight, expected, rtol=1e-4, atol=1e-5)


def test_dsa_skips_sequences_with_padding():
    (score,) = score_pairs(METRICS.get("dsa"), [_sequence()], [(0, 0)])
    assert (score.status, "padding" in score.reason) == ("skip", True)


def test_ids_of_numpy_are_ids():
    assert np.array_equal(real_tokens(torch.as_tensor(np.array([[3, -1]], dtype=np.int32))).numpy(), [[True, False]])
