"""Networks of transformers as modules from token ids, in which −1 is padding, to logits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError, described
from simbench.files import from_home
from simbench.models.architecture import missing_package
from simbench.models.architectures.language_models import Task, folder_of
from simbench.representations.padding import PADDING

if TYPE_CHECKING:
    from simbench.data.texts import Texts

# Files without which a folder has no tokenizer.
OF_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
)
NO_LOGITS = "{name} is an encoder, which puts out no logits"
# A tokenizer without a limit of its own says that it is so large.
NO_LIMIT = 10**9


class LastToken(nn.Module):
    """The features of the last real token: the embedding that the head of a causal model reads."""

    def __init__(self) -> None:
        """Know no places yet: each pass has its own."""
        super().__init__()
        self.places: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """`(n, tokens, features)` to `(n, features)`."""
        assert self.places is not None
        return hidden[torch.arange(len(hidden), device=hidden.device), self.places.to(hidden.device)]

    def before(self, _head: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        """Give the head nothing but the last real token."""
        chosen: Tensor = self(arguments[0])
        return (chosen[:, None],)


class LanguageModel(nn.Module):
    """Network of transformers that reads token ids alone. Its modules are called as in transformers."""

    def __init__(self, inner: Any, task: Task, preprocess: TokenReader | None) -> None:
        """Wrap a network without hiding it: modules, parameters and buffers are its own."""
        super().__init__()
        self.__dict__["_inner"] = inner
        self._modules, self._parameters, self._buffers = inner._modules, inner._parameters, inner._buffers
        self.task, self.preprocess = task, preprocess
        config = inner.config
        self.vocabulary = int(config.vocab_size)
        pad = getattr(config, "pad_token_id", None)
        self.pad = pad if isinstance(pad, int) and 0 <= pad < self.vocabulary else 0
        self.no_logits = NO_LOGITS.format(name=type(inner).__name__) if task == "encoder" else None
        if task == "causal":
            last = LastToken()
            inner.add_module("last_token", last)
            inner.get_output_embeddings().register_forward_pre_hook(last.before)

    @property
    def inner(self) -> Any:
        """The network as transformers has it."""
        return self.__dict__["_inner"]

    def train(self, mode: bool = True) -> LanguageModel:
        """Change the mode, also that of the network inside."""
        super().train(mode)
        self.inner.training = mode
        return self

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids `(n, tokens)` to logits `(n, labels)`; of an encoder, to the last hidden states."""
        real = self._real(ids)
        if self.task == "causal":
            self.get_submodule("last_token").places = real.sum(dim=1) - 1
        given = {"input_ids": torch.where(real, ids, self.pad).clamp_min(0), "attention_mask": real.long()}
        output = self.inner(**given, **({"use_cache": False} if self.task == "causal" else {}))
        if self.task == "encoder":
            states: Tensor = output.last_hidden_state
            return states
        logits: Tensor = output.logits
        return logits[:, -1] if logits.ndim == 3 else logits

    def _real(self, ids: Tensor) -> Tensor:
        """Return which tokens are real; raise `SimbenchError` for ids that no such network reads."""
        if ids.is_floating_point() or ids.ndim != 2:
            raise SimbenchError(f"token ids (inputs, tokens) are integers; these are {ids.dtype} {tuple(ids.shape)}")
        largest = int(ids.max()) if ids.numel() and ids.device.type != "meta" else 0
        if largest >= self.vocabulary:
            raise SimbenchError(f"token id {largest} is beyond the vocabulary of {self.vocabulary}")
        real = ids >= 0
        if ids.device.type != "meta" and bool((~real[:, :-1] & real[:, 1:]).any()):
            raise SimbenchError(f"padding ({PADDING}) comes after the tokens of a text, not before or between them")
        # a text without a token is read as one of padding
        empty = ~real.any(dim=1, keepdim=True)
        return real | (empty & (torch.arange(ids.shape[1], device=ids.device) == 0))


class TokenReader:
    """Preprocessing of texts by a tokenizer: ids `(n, tokens)`, as many tokens as the longest of all texts has."""

    reads = "texts"

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Cut texts at `max_length` tokens."""
        self.tokenizer, self.max_length = tokenizer, max_length
        self._width: tuple[str, int] = ("", 0)

    def __call__(self, texts: Texts) -> Tensor:
        """Return the ids of texts, padded by −1."""
        if not getattr(texts, "are_texts", False):
            raise SimbenchError(f"a language model reads texts, and these are {type(texts).__name__}")
        if self._width[0] != texts.whole.digest:
            self._width = texts.whole.digest, max(1, *map(len, self._ids(texts.whole.texts)))
        ids = torch.full((len(texts), self._width[1]), PADDING)
        for row, each in zip(ids, self._ids(texts.texts), strict=True):
            row[: len(each)] = torch.tensor(each, dtype=torch.long)
        return ids

    def _ids(self, texts: tuple[str, ...]) -> list[list[int]]:
        if not texts:
            return [[]]
        made = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, padding=False)
        ids: list[list[int]] = made["input_ids"]
        return ids


def build(
    model: str | None,
    revision: str | None,
    model_type: str | None,
    sizes: Mapping[str, int],
    *,
    task: Task,
    classes: int,
    tokenizer: str | None,
    max_length: int,
    dtype: str,
    attention: str,
    pretrained: bool = False,
) -> LanguageModel:
    """Build a network with random weights or, if it is `pretrained`, with those of its folder. Nothing is downloaded.

    Raises:
        SimbenchError: transformers is not installed; the model is not here, or not of a kind that is read; its sizes do
            not fit together.
    """
    transformers = _transformers()
    folder = _folder(model, revision) if model is not None else None
    kinds = {
        "encoder": "AutoModel",
        "causal": "AutoModelForCausalLM",
        "classifier": "AutoModelForSequenceClassification",
    }
    auto, options = (
        getattr(transformers, kinds[task]),
        {"attn_implementation": attention, "dtype": getattr(torch, dtype)},
    )
    with _quiet(transformers):
        try:
            if folder is None:
                config = transformers.AutoConfig.for_model(model_type, **sizes)
            else:
                config = transformers.AutoConfig.from_pretrained(str(folder))
            _check(config, model or str(model_type))
            if task == "classifier" and classes and not pretrained:
                config.num_labels = classes
            if pretrained:
                inner = auto.from_pretrained(str(folder), config=config, local_files_only=True, **options)
            else:
                inner = auto.from_config(config, **options)
        except SimbenchError:
            raise
        except Exception as error:  # transformers raises anything of a folder or of sizes that do not fit
            raise SimbenchError(f"{model or model_type} cannot be built: {described(error)}") from error
        reader = _reader(transformers, from_home(tokenizer) if tokenizer else folder, config, max_length)
    return LanguageModel(inner.eval(), task, reader)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise missing_package("transformers", "transformers") from None
    return transformers


def _folder(model: str, revision: str | None) -> Path:
    folder = folder_of(model, revision)
    if folder is None:
        raise SimbenchError(
            f"{model} is not on this machine: `hf download {model} --revision {revision}` brings it"
            if revision
            else f"no such folder: {model}"
        )
    return folder


def _check(config: Any, name: str) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise SimbenchError(f"{name} has an encoder and a decoder ({config.model_type}), which are not read")
    if getattr(config, "quantization_config", None) is not None:
        raise SimbenchError(f"{name} has quantised weights, which are not read: give the model they were made from")
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise SimbenchError(f"{name} reads no token ids ({config.model_type})")


def _reader(transformers: Any, folder: Path | None, config: Any, max_length: int) -> TokenReader | None:
    """Return the tokenizer in a folder, if there is one, with the length that the network can read."""
    if folder is None or not any((folder / name).is_file() for name in OF_TOKENIZERS):
        return None
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    own = getattr(tokenizer, "model_max_length", NO_LIMIT)
    positions = getattr(config, "max_position_embeddings", None) or NO_LIMIT
    return TokenReader(tokenizer, min(max_length, own, positions))


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep reports and progress bars off the terminal while the block runs."""
    logger = logging.getLogger("transformers")
    level, shown = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            transformers.utils.logging.enable_progress_bar()
