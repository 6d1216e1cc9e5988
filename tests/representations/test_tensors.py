"""Arrays of every kind are read as the numbers that they hold, or refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import simbench
from simbench.errors import SimbenchError
from simbench.representations.array_files import load_array
from simbench.representations.representation import Representation
from simbench.representations.tensors import as_floating, as_tensor

ROWS = np.random.default_rng(0).integers(0, 100, size=(30, 4)).astype(float)
TENSOR = torch.as_tensor(ROWS)
WHOLE = [np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_of_all_widths_are_the_numbers_that_they_are(dtype: np.dtype[np.generic], order: str) -> None:
    read = Representation.from_array(ROWS.astype(dtype.newbyteorder(order)))  # type: ignore[arg-type]
    assert torch.equal(read.matrix, TENSOR)


@pytest.mark.filterwarnings("ignore")  # torch announces changes of some of these kinds
@pytest.mark.parametrize(
    "make",
    [
        lambda: TENSOR.to_sparse(),
        lambda: TENSOR.to_sparse_csr(),
        lambda: torch.quantize_per_tensor(TENSOR.float(), 1.0, 0, torch.quint8),
        lambda: TENSOR.clone().requires_grad_(),
        lambda: torch.complex(TENSOR, -TENSOR).conj().imag,
    ],
    ids=["sparse", "csr", "quantised", "with gradient", "view"],
)
def test_what_a_tensor_holds_does_not_depend_on_how(make: Callable[[], Tensor]) -> None:
    held = make()
    assert torch.equal(Representation.from_array(held).matrix.double(), TENSOR)
    y = np.cos(ROWS)
    assert simbench.score(held, y) == pytest.approx(simbench.score(ROWS, y), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_arrays_that_cannot_be_written_to_are_copied() -> None:
    fixed = ROWS.copy()
    fixed.flags.writeable = False
    assert torch.equal(as_tensor(fixed), TENSOR)


@pytest.mark.filterwarnings("ignore")  # torch announces changes of some of these kinds
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: np.ma.masked_array(ROWS, mask=ROWS > 50), "x: some values are masked"),
        (lambda: TENSOR.to("meta"), "x: there are no numbers in it"),
        (lambda: torch.nested.nested_tensor([TENSOR[0], TENSOR[1, :2]]), "x: inputs have different shapes"),
        (lambda: TENSOR.to(torch.float8_e5m2), "x: numbers of type float8_e5m2 carry a digit or two"),
        (lambda: ROWS.astype(np.int64) + 2**60, "x: integers as large as 1.2e[+]18 are beyond 9007199254740992"),
        (lambda: np.array([{"a": 1}]), "x: an array of numbers is needed, not of object"),
        (lambda: ROWS.astype("M8[s]"), "x: an array of numbers is needed, not of datetime64"),
    ],
)
def test_what_would_change_by_reading_is_refused_by_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(SimbenchError, match=said):
        simbench.score(make(), ROWS)


def test_a_mask_that_hides_nothing_is_none() -> None:
    assert torch.equal(as_tensor(np.ma.masked_array(ROWS)), TENSOR)


def test_integers_up_to_two_to_the_53_are_exact() -> None:
    assert as_floating(torch.tensor([2**53 - 1])).long() == 2**53 - 1
    with pytest.raises(ValueError, match="subtract an offset"):
        as_floating(torch.tensor([-(2**53) - 1]))


def test_arrays_in_nested_dictionaries_and_lists_have_names(tmp_path: Path) -> None:
    path = tmp_path / "nested.pt"
    torch.save({"block": TENSOR, "more": {"0": [TENSOR + 1]}, "epoch": 3}, path)
    assert torch.equal(load_array(f"{path}:more.0.0"), TENSOR + 1)
    with pytest.raises(SimbenchError, match=r"holds 2 arrays \(block, more.0.0\)"):
        load_array(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({0: TENSOR, "0": TENSOR + 1}, "holds two arrays called 0"),
        ([TENSOR, TENSOR], r"holds 2 arrays \(0, 1\); name one"),
        ({}, "holds no array, but a dict"),
        (3.0, "holds no array, but a float"),
        (TENSOR.to(torch.float8_e4m3fn), "numbers of type float8_e4m3fn"),
    ],
)
def test_what_else_a_file_of_torch_holds_is_told(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(SimbenchError, match=f"x.pt:? {said}"):
        load_array(str(tmp_path / "x.pt"))


@pytest.mark.parametrize("content", ["", "hello", "1,2\n3,4\n"])
def test_a_text_called_pt_is_told_from_a_file_of_more_than_tensors(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pt").write_text(content)
    with pytest.raises(SimbenchError, match="damaged, or no file that PyTorch wrote"):
        load_array(str(tmp_path / "x.pt"))
