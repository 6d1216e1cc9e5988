"""Activations written in parts: what is read is what was appended, whatever ended in the middle or was damaged."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from simbench.errors import SimbenchError, StorageError
from simbench.files import remove
from simbench.representations import writer as module
from simbench.representations.notes import read_notes, shards_beside
from simbench.representations.storage import DamagedError, load_activations, read_activations, read_header
from simbench.representations.writer import ActivationWriter, Extent, flush_if_full

ROWS, WIDTH = 40, 4
# Bytes of a shard in these tests: ten rows.
SHARD = 10 * WIDTH * 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", SHARD)


@pytest.fixture
def whole() -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ab" / "abc.safetensors"


def append(writer: ActivationWriter, whole: Tensor, first: int, last: int, step: int = 3) -> None:
    for start in range(first, last, step):
        writer.append(whole[start : min(last, start + step)], start)


@pytest.mark.parametrize("step", [1, 3, 10, 11, ROWS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_larger_than_a_shard_is_read_from_its_shards(
    path: Path, whole: Tensor, step: int, dtype: torch.dtype
) -> None:
    whole = whole.to(dtype).repeat(1, 2)
    writer = ActivationWriter(path, "abc")
    append(writer, whole, 0, ROWS, step)
    assert not path.exists()
    writer.finish({"layer": "block1"})
    assert torch.equal(load_activations(path, "abc"), whole)
    assert read_notes(path)["layer"] == "block1"
    assert len(list(shards_beside(path).iterdir())) > 1
    assert all(file.stat().st_size < 3 * SHARD + 1000 for file in shards_beside(path).iterdir())


@pytest.mark.parametrize("flushed", [False, True])
def test_what_fits_into_a_shard_is_one_file(path: Path, whole: Tensor, flushed: bool) -> None:
    writer = ActivationWriter(path, "abc")
    writer.append(whole[:5], 0)
    if flushed:
        writer.flush()
    writer.append(whole[5:9], 5)
    writer.finish({})
    assert torch.equal(load_activations(path, "abc"), whole[:9])
    assert not shards_beside(path).exists()


def test_writers_of_one_pass_are_written_together(path: Path, whole: Tensor, tmp_path: Path) -> None:
    writers = [ActivationWriter(path, "abc"), ActivationWriter(tmp_path / "small.safetensors", "small")]
    writers[0].append(whole[:8], 0)
    writers[1].append(whole[:1], 0)
    flush_if_full(writers)
    assert writers[0].held
    writers[1].append(whole[1:2], 1)
    flush_if_full(writers)
    assert [writer.held for writer in writers] == [0, 0]
    assert ActivationWriter(tmp_path / "small.safetensors", "small").rows == 2


@pytest.mark.parametrize("ended", [9, 12, 25, ROWS])
def test_a_later_writer_goes_on_from_the_last_shard(path: Path, whole: Tensor, ended: int) -> None:
    append(ActivationWriter(path, "abc"), whole, 0, ended)
    later = ActivationWriter(path, "abc")
    assert 0 <= later.rows <= ended
    assert later.rows >= ended - 10
    append(later, whole, 0, ROWS, 7)  # what is there already comes again
    later.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def test_rows_after_the_last_shard_alone_are_enough(path: Path, whole: Tensor) -> None:
    append(ActivationWriter(path, "abc"), whole, 0, 25)
    later = ActivationWriter(path, "abc")
    append(later, whole, later.rows, ROWS)
    later.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [spoil, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:50])])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_damaged_shard_is_found_and_made_again(path: Path, whole: Tensor, damage, place: int) -> None:
    writer = ActivationWriter(path, "abc")
    append(writer, whole, 0, ROWS)
    writer.finish({})
    damage(sorted(shards_beside(path).iterdir())[place])
    with pytest.raises(DamagedError, match="shard"):
        load_activations(path, "abc")
    assert read_header(path, "abc")["key"] == "abc"  # which a header does not show
    again = ActivationWriter(path, "abc")
    assert again.rows < ROWS
    append(again, whole, 0, ROWS)
    again.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def test_shards_of_another_key_are_not_taken_over(path: Path, whole: Tensor) -> None:
    append(ActivationWriter(path, "other"), -whole, 0, 25)
    writer = ActivationWriter(path, "abc")
    assert writer.rows == 0
    append(writer, whole, 0, ROWS)
    writer.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def test_a_shard_that_was_exchanged_is_told(path: Path, whole: Tensor) -> None:
    writer = ActivationWriter(path, "abc")
    append(writer, whole, 0, ROWS, 5)
    writer.finish({})
    first, second, *_ = sorted(shards_beside(path).iterdir())
    first.write_bytes(second.read_bytes())
    with pytest.raises(DamagedError, match="is not the shard that the index names"):
        load_activations(path, "abc")


def test_two_writers_at_once_leave_what_either_would(path: Path, whole: Tensor) -> None:
    first, second = ActivationWriter(path, "abc"), ActivationWriter(path, "abc")
    append(first, whole, 0, 20, 3)
    append(second, whole, 0, ROWS, 7)
    second.finish({})
    append(first, whole, 20, ROWS, 3)
    first.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def test_a_faster_writer_may_have_tidied_up(path: Path, whole: Tensor) -> None:
    slow, fast = ActivationWriter(path, "abc"), ActivationWriter(path, "abc")
    for writer in (slow, fast):
        writer.append(whole[:4], 0)
        writer.flush()
        writer.append(whole[4:6], 4)
    fast.finish({})
    slow.finish({})
    assert torch.equal(load_activations(path, "abc"), whole[:6])
    remove(path)
    slow = ActivationWriter(path, "abc")
    slow.append(whole[:4], 0)
    slow.flush()
    remove(shards_beside(path))
    with pytest.raises(SimbenchError, match="what was written there is gone"):
        slow.finish({})


def test_a_full_disk_leaves_what_was_written(path: Path, whole: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ActivationWriter(path, "abc")
    append(writer, whole, 0, 12)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("simbench.representations.storage.save_file", full)
        with pytest.raises(StorageError, match="the disk is full"):
            append(writer, whole, 12, ROWS)
    later = ActivationWriter(path, "abc")
    assert later.rows > 0
    append(later, whole, 0, ROWS)
    later.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)


def test_the_numbers_are_held_against_their_checksum_unless_they_were(path: Path, whole: Tensor) -> None:
    writer = ActivationWriter(path, "abc")
    append(writer, whole, 0, ROWS)
    writer.finish({})
    spoil(sorted(shards_beside(path).iterdir())[0])
    assert len(read_activations(path, "abc", verify=False)[0]) == ROWS
    with pytest.raises(DamagedError, match="does not match its checksum"):
        read_activations(path, "abc")


def test_the_extent_is_that_of_all_inputs(whole: Tensor) -> None:
    extent = Extent()
    for start in range(0, ROWS, 7):
        extent.see(whole[start : start + 7])
    assert extent.now() == (float(whole.abs().max()), float((whole.amax(0) - whole.amin(0)).max()))
    extent.see(torch.full((1, WIDTH), torch.nan))
    assert all(number != number for number in extent.now())


def test_an_extent_is_remembered_where_it_tells_enough(path: Path, whole: Tensor) -> None:
    for rows, kept in ((whole, True), (torch.ones(ROWS, WIDTH), False)):
        remove(shards_beside(path))
        writer = ActivationWriter(path, "abc", Extent())
        assert writer.extent is not None
        writer.extent.see(rows[:12])
        append(writer, rows, 0, 12)
        later = ActivationWriter(path, "abc", Extent())
        assert (later.rows > 0) is kept
        assert later.extent is not None
        assert (later.extent.now()[1] > 0) is kept
    notes = read_notes(next(shards_beside(path).iterdir()))
    assert json.loads(notes["extent"]) == [1.0, 0.0]


def test_what_another_process_left_half_written_is_passed_over(path: Path, whole: Tensor) -> None:
    append(ActivationWriter(path, "abc"), whole, 0, 25)
    for name in ("notes.txt", "000-x.safetensors", "000000000099-000000000003.safetensors", ".x.tmp"):
        (shards_beside(path) / name).write_text("x")
    writer = ActivationWriter(path, "abc")
    assert writer.rows > 0
    append(writer, whole, 0, ROWS)
    writer.finish({})
    assert torch.equal(load_activations(path, "abc"), whole)
