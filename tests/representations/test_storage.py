"""Activations on disk: what comes back is what was written, or it is said to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from simbench.representations.storage import DamagedError, checksum, load_activations, save_activations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ab" / "activations.safetensors"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 4, 4), (0, 3)])
def test_activations_come_back_bit_for_bit(dtype: torch.dtype, shape: tuple[int, ...], path: Path) -> None:
    written = torch.randn(shape).to(dtype)
    save_activations(path, written, {"layer": "block1"})
    read = load_activations(path)
    assert read.dtype == dtype
    assert torch.equal(read, written)


def test_views_and_gradients_are_stored_as_plain_values(path: Path) -> None:
    written = torch.randn(4, 6, requires_grad=True).T[::2]
    save_activations(path, written, {})
    assert torch.equal(load_activations(path), written.detach())


def test_any_changed_byte_is_damage(path: Path) -> None:
    save_activations(path, torch.randn(5, 3), {"layer": "block1"})
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 0x10
        path.write_bytes(bytes(changed))
        try:
            assert torch.equal(load_activations(path), load_original(path, content))
        except DamagedError:
            continue


def load_original(path: Path, content: bytes) -> torch.Tensor:
    original = path.with_name("original")
    original.write_bytes(content)
    return load_activations(original)


def test_a_changed_value_is_damage(path: Path) -> None:
    save_activations(path, torch.randn(5, 3), {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x10
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedError, match="does not match its checksum"):
        load_activations(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 50, -1])
def test_a_truncated_file_is_damage(kept: int, path: Path) -> None:
    save_activations(path, torch.randn(5, 3), {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedError, match="cannot be read"):
        load_activations(path)


def test_a_file_of_another_kind_is_damage(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not activations")
    with pytest.raises(DamagedError):
        load_activations(path)


def test_a_file_without_a_checksum_is_damage(path: Path) -> None:
    path.parent.mkdir()
    save_file({"activations": torch.ones(3)}, path)
    with pytest.raises(DamagedError, match="checksum"):
        load_activations(path)


def test_a_missing_file_is_missing_and_not_damaged(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_activations(path)


def test_nothing_but_the_file_is_left(path: Path) -> None:
    save_activations(path, torch.ones(3), {})
    save_activations(path, torch.zeros(3), {})
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert torch.equal(load_activations(path), torch.zeros(3))


def test_nothing_is_left_of_what_cannot_be_written(path: Path) -> None:
    save_activations(path, torch.ones(3), {})
    with pytest.raises(Exception, match=r"(?i)str"):
        save_activations(path, torch.zeros(3), {"layer": 3})  # type: ignore[dict-item]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert torch.equal(load_activations(path), torch.ones(3))


def test_activations_under_another_key_are_out_of_place(path: Path) -> None:
    save_activations(path, torch.ones(3), {"key": "k1", "model": "net/0", "layer": "block1"})
    assert torch.equal(load_activations(path, "k1"), torch.ones(3))
    with pytest.raises(DamagedError, match=r"holds the activations k1 \(net/0 block1\)"):
        load_activations(path, "k2")


@pytest.mark.parametrize(
    ("before", "after"), [(b'"F32"', b'"I32"'), (b"[4,6]", b"[6,4]"), (b"block1", b"block2"), (b'"k1"', b'"k2"')]
)
def test_any_change_of_the_header_is_damage(before: bytes, after: bytes, path: Path) -> None:
    save_activations(path, torch.randn(4, 6), {"layer": "block1", "key": "k1"})
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))
    with pytest.raises(DamagedError, match="its header does not match its checksum"):
        load_activations(path)


def test_files_of_former_versions_are_read(path: Path) -> None:
    path.parent.mkdir()
    written = torch.randn(4, 6)
    save_file({"activations": written}, path, {"layer": "block1", "sha256": checksum(written)})
    assert torch.equal(load_activations(path, "any"), written)
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))
    with pytest.raises(DamagedError, match="its header does not match its checksum"):
        load_activations(path, "any")
