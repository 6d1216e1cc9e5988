"""The `Model`: a network in eval mode, seen through its named layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from simbench.data.items import Items, Preprocess, part_for, tensor_of
from simbench.errors import NotApplicable, SimbenchError, UnknownNameError
from simbench.models.architectures.blocks import EMBEDDING, BlockNetwork, StagedNetwork, faster_to_differentiate
from simbench.models.capture import Capture, Sink, hooked, like, not_once
from simbench.models.inputs import InputReader, are_whole, floating_dtype
from simbench.models.layouts import measured_layout
from simbench.models.places import Place, place_of
from simbench.models.unwrapping import unwrapped
from simbench.representations.layouts import DECLARED_LAYOUTS, DeclaredLayout, Layout, declared_as
from simbench.representations.representation import Head

if TYPE_CHECKING:
    from simbench.models.architecture import Architecture

# Inputs per forward pass. Fixed, because a batch of another size may differ in the last bits.
EXTRACTION_BATCH = 200
# Inputs on which it is measured how a layer is connected.
MEASURED = 4
# Token ids that are remembered to draw those from: no others are known to be in the vocabulary.
EXAMPLES = 64


class Model:
    """A network whose layers can be read and replaced.

    Its parameters are frozen and it stays in eval mode, batch norms included.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str] = (),
        embedding_layer: str | None = None,
        layouts: Mapping[str, Layout] | None = None,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: any module from one batch of inputs to logits.
            layers: names of the layers to compare, in order, as in `named_modules()`.
            embedding_layer: the layer whose output the linear head reads.
            layouts: where the features are, by layer, where that is not to be measured.
            input_shape: shape of one input; else learned from the first inputs seen.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        network = unwrapped(network)
        self.network = network.eval().requires_grad_(False)
        if embedding_layer is None and isinstance(network, StagedNetwork):
            embedding_layer = EMBEDDING
        self.embedding_layer = embedding_layer
        self.input_shape = input_shape
        self._layers = tuple(layers)
        self._layouts = dict(layouts or {})
        self._measured: dict[str, Layout | None] = {}
        # of layers of which nothing else tells it
        self.usual_layout: DeclaredLayout | None = None
        # what the network wants done to items, such as images of any size, before it reads them
        self.preprocess: Preprocess | None = None
        self._axes: dict[str, int] = {}
        self._cut_points: dict[str, bool] = {}
        self._reader = InputReader(self.network)
        self._examples: Tensor | None = None
        self._ids: list[tuple[Items, Tensor]] = []
        for layer in (*self._layers, *([embedding_layer] if embedding_layer else [])):
            self._place(layer)

    @classmethod
    def of(
        cls,
        network: nn.Module,
        architecture: Architecture,
        parameters: Mapping[str, Any],
        input_shape: tuple[int, ...],
        layers: Sequence[str] | None = None,
    ) -> Model:
        """Wrap a network of a registered architecture; `layers` are those a suite lists, if it does.

        A layer that the network does not have concerns nobody but who reads it.
        """
        named = tuple(layers) if layers is not None else architecture.layers(**parameters) or ()
        embedding_layer = architecture.embedding_layer(**parameters)
        model = cls(network, input_shape=input_shape)
        model._layers = tuple(layer for layer in named if model._has(layer))
        model.embedding_layer = embedding_layer or model.embedding_layer
        model.usual_layout = architecture.layout(**parameters)
        model.preprocess = getattr(network, "preprocess", None)
        return model

    def with_network(self, network: nn.Module) -> Model:
        """Return a model with the same layers and another network of the same structure."""
        model = Model(network, self._layers, None, self._layouts, self.input_shape)
        model.embedding_layer = self.embedding_layer
        model.usual_layout, model.preprocess = self.usual_layout, self.preprocess
        model._examples = self._examples
        return model

    def see(self, inputs: Tensor | Items) -> None:
        """Remember the shape of the first inputs `(n, …)` that are seen and, if they are token ids, a few of them.

        What is measured with inputs (the head, the layouts, whether something bypasses a layer) is measured with these:
        random numbers are no token ids. Of items it is the shape that the network reads.
        """
        if not isinstance(inputs, Tensor):
            if self._examples is not None or not len(inputs):
                return
            first = self.prepared(inputs[:1])
            inputs = self.prepared(inputs[:EXAMPLES]) if are_whole(first) else first
            self.input_shape = tuple(inputs.shape[1:])
        self.input_shape = self.input_shape or tuple(inputs.shape[1:])
        if self._examples is None and len(inputs):
            few = inputs[:EXAMPLES].detach().cpu()
            self._examples = torch.unique(few.long(), dim=0) if are_whole(few) else few[:0]

    def ids_of(self, texts: Items) -> Tensor:
        """Return texts as the token ids `(n, t)` that this network reads; those of the last two are kept."""
        for kept, ids in self._ids:
            if kept is texts:
                return ids
        ids = torch.cat(list(self._batches(texts)))
        self.input_shape = tuple(ids.shape[1:])  # that of the dataset may be of images
        self._ids = [*self._ids[-1:], (texts, ids)]
        return ids

    def prepared(self, inputs: Tensor | Items) -> Tensor:
        """Return a batch of inputs as a tensor `(n, …)`: items as this network wants them, a tensor as it is."""
        if isinstance(inputs, Tensor):
            return inputs
        return tensor_of(self.part_of(inputs), self.preprocess, type(self.network).__name__)

    def part_of(self, inputs: Any) -> Any:
        """Return the part of inputs that this network reads, such as the captions of images; others as they are."""
        return part_for(inputs, self.network, self.preprocess)

    def as_read(self, inputs: Tensor | Items) -> Tensor:
        """Return a batch of inputs in the form that the network reads, on its device."""
        return self._reader.read(self.prepared(inputs))

    def _batches(self, inputs: Tensor | Items) -> Iterator[Tensor]:
        if isinstance(inputs, Tensor):
            yield from torch.split(inputs, EXTRACTION_BATCH)
            return
        for start in range(0, len(inputs), EXTRACTION_BATCH):
            yield self.prepared(inputs[start : start + EXTRACTION_BATCH])

    @property
    def device(self) -> torch.device:
        """Device of the network's parameters."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Model:
        """Move the network; inputs and activations may stay where they are."""
        self.network.to(device)
        self.__dict__.pop("_faster", None)
        return self

    @cached_property
    def _faster(self) -> BlockNetwork:
        assert isinstance(self.network, BlockNetwork)
        return faster_to_differentiate(self.network)

    def layers(self) -> list[str]:
        """Return the names of the layers to compare, in order. Any other module may be read too."""
        return list(self._layers)

    def layout(self, layer: str) -> Layout:
        """Return the layout of the layer's output, which says which axis holds the features.

        It is what was given for the layer, else what is measured (`models/layouts.py`), else `usual_layout`.

        Raises:
            UnknownNameError: the network has no such layer.
            SimbenchError: the layout cannot be told.
        """
        if layer not in self._axes:
            self._place(layer)
            self.activations(self._blank(2, "the layout of a layer"), layer)
        axes = self._axes[layer]
        if axes == 2:
            return "vector"
        if layer not in self._measured:
            self._measured[layer] = self._layouts.get(layer) or self._measured_layout(layer)
        layout = self._measured[layer] or declared_as(self.usual_layout, axes)
        if layout is None:
            raise SimbenchError(
                f'layer "{layer}": which of the {axes} axes of its output holds the features cannot be told; '
                f'say it by `layout: {{"{layer}": …}}` of its model in the suite ({", ".join(DECLARED_LAYOUTS)})'
            )
        return layout

    def _measured_layout(self, layer: str) -> Layout | None:
        if isinstance(self.network, BlockNetwork):
            return "channels_first"
        blank = self._blank(2, "the layout of a layer")
        return measured_layout(
            self.network, self._place(layer), blank, lambda inputs: self.network(self._reader.read(inputs))
        )

    def activations(self, inputs: Tensor | Items, layer: str) -> Tensor:
        """Return the output of one layer, on the device of the inputs, without gradients."""
        return self.activations_of(inputs, [layer])[layer]

    def activations_of(self, inputs: Tensor | Items, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of several layers, from one pass over the inputs `(n, ...)`.

        Raises:
            UnknownNameError: the network has no such layer.
            SimbenchError: a layer puts out no tensor, or runs not exactly once in a pass.
        """
        read = self.read(inputs, layers)
        for result in read.values():
            if isinstance(result, SimbenchError):
                raise result
        return {layer: result for layer, result in read.items() if isinstance(result, Tensor)}

    def read(self, inputs: Tensor | Items, layers: Sequence[str]) -> dict[str, Tensor | SimbenchError]:
        """Return the outputs of several layers, from one pass over the inputs `(n, …)`, or why a layer has none."""
        captures, results = self._captures(dict.fromkeys(layers))
        self._run_under(captures, inputs)
        results |= {capture.layer: capture.result() for capture in captures}
        return {layer: results[layer] for layer in layers}

    def stream(self, inputs: Tensor | Items, sinks: Mapping[str, Sink], first: int = 0) -> dict[str, SimbenchError]:
        """Hand what layers put out to their sinks, batch by batch; return why some layers cannot be read.

        Args:
            inputs: `(n, …)`, or items.
            sinks: by layer, what is given each output, on the network's device, and the number of its first input.
            first: the input to begin with, the first one of a batch.
        """
        captures, failures = self._captures(sinks)
        self._run_under(captures, inputs, first)
        problems = {capture.layer: SimbenchError(capture.problem) for capture in captures if capture.problem}
        return {layer: error for layer, error in failures.items() if isinstance(error, SimbenchError)} | problems

    def _captures(self, sinks: Mapping[str, Sink | None]) -> tuple[list[Capture], dict[str, Tensor | SimbenchError]]:
        """Return captures of the layers that there are, and errors of the others."""
        captures: list[Capture] = []
        failures: dict[str, Tensor | SimbenchError] = {}
        for layer, sink in sinks.items():
            try:
                captures.append(Capture(self._place(layer), sink))
            except UnknownNameError as error:
                failures[layer] = error
        return captures, failures

    def _run_under(self, captures: Sequence[Capture], inputs: Tensor | Items, first: int = 0) -> None:
        """Run the network over the inputs from the `first` on, captured."""
        self.see(inputs)
        with torch.no_grad():
            for batch in self._batches(inputs[first:]) if captures else ():
                as_read = self._reader.read(batch)
                with ExitStack() as hooks:
                    for capture in captures:
                        hooks.enter_context(capture.during(batch, first))
                    self.network(as_read)
                first += len(batch)
        for capture in captures:
            if capture.problem is None and capture.shape is not None:
                self._axes[capture.layer] = 1 + len(capture.shape)

    def logits(self, inputs: Tensor | Items) -> Tensor:
        """Return the logits `(n, labels)`, on the device of the inputs, without gradients."""
        self.see(inputs)
        with torch.no_grad():
            return torch.cat([self._run(batch).to(batch.device) for batch in self._batches(inputs)])

    def continue_from(self, layer: str, activations: Tensor, inputs: Tensor | Items | None = None) -> Tensor:
        """Return the logits `(n, labels)` when `activations` replace the output of `layer`.

        Differentiable with respect to the activations. Where no gradient is asked for, it runs in the batches in which
        activations are extracted, so that continuing from a layer's own output gives `logits` bit for bit.

        Args:
            layer: any layer.
            activations: `(n, ...)`, on any device.
            inputs: `(n, ...)`, needed where something bypasses the layer, such as a residual connection around it.

        Raises:
            UnknownNameError: the network has no such layer.
            ValueError: inputs are needed, or the activations have another shape than the layer's output.
        """
        if torch.is_grad_enabled() and activations.requires_grad:
            return self._continue(layer, activations, inputs)
        pieces = torch.split(activations, EXTRACTION_BATCH)
        pieces_of_inputs = self._batches(inputs) if inputs is not None else [None] * len(pieces)
        return torch.cat(
            [self._continue(layer, piece, beside) for piece, beside in zip(pieces, pieces_of_inputs, strict=True)]
        )

    def head(self) -> Head | None:
        """Return the linear map from the embedding layer to the logits; None when there is none or it is unknown."""
        if isinstance(self.network, StagedNetwork):
            return _linear_head(self.network.head)
        if self.embedding_layer is None or self.input_shape is None:
            return None
        return self._measured_head(self.embedding_layer)

    def _measured_head(self, embedding_layer: str) -> Head | None:
        """Return the last linear module that gives the logits from the embedding, checked on a few inputs."""
        inputs = self._few_inputs(0)
        embedding, logits = self.activations(inputs, embedding_layer), self.logits(inputs)
        for module in reversed(list(self.network.modules())):
            if isinstance(module, nn.Linear) and (module.in_features, module.out_features) == (
                embedding.shape[-1],
                logits.shape[-1],
            ):
                with torch.no_grad():
                    # not by calling it: hooks may give it something else to read
                    read = linear(embedding.to(module.weight), module.weight, module.bias).to(logits.device)
                if embedding.ndim == 2 and torch.allclose(read, logits, rtol=1e-4, atol=1e-5):
                    return _linear_head(module)
        return None

    def _continue(self, layer: str, activations: Tensor, inputs: Tensor | Items | None) -> Tensor:
        if isinstance(self.network, StagedNetwork) and layer in self.network.stages:
            # Stitching trains through here; without a gradient the network itself answers, bit for bit.
            trains = activations.requires_grad and isinstance(self.network, BlockNetwork)
            network = self._faster if trains else self.network
            logits = network.forward_after(layer, self._here(activations))
        else:
            if inputs is None:
                if not self._is_cut_point(layer):
                    raise ValueError(f'something bypasses layer "{layer}": continuing from it needs the inputs')
                inputs = self._blank(len(activations), f'continuing from "{layer}"')
            logits = self._run_with(layer, activations, self.prepared(inputs))
        return logits.to(activations.device)

    def _is_cut_point(self, layer: str) -> bool:
        """Return whether the logits depend on the inputs through this layer only: measured once, on a few inputs.

        Token ids that are all the same cannot show it: then inputs are needed.
        """
        if layer not in self._cut_points:
            first, other = self._few_inputs(0), self._few_inputs(1)
            if torch.equal(first, other):
                return False
            with torch.no_grad():
                activations = self.activations(first, layer)
                same = torch.equal(self._run_with(layer, activations, first), self._run_with(layer, activations, other))
            self._cut_points[layer] = same
        return self._cut_points[layer]

    def _run(self, inputs: Tensor) -> Tensor:
        if (reason := getattr(self.network, "no_logits", None)) is not None:
            raise NotApplicable(reason)
        logits = self.network(self._reader.read(inputs))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            form = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            raise SimbenchError(
                f"{type(self.network).__name__} does not put out logits (inputs, labels), but {form}: "
                "wrap it in a module that returns them"
            )
        return logits

    def _run_with(self, layer: str, activations: Tensor, inputs: Tensor) -> Tensor:
        """Run a whole pass in which the layer's output is replaced."""
        # later in-place operations must change neither the caller's tensor nor a leaf that needs a gradient
        replacement, place = self._here(activations).clone(), self._place(layer)
        runs: list[None] = []

        def replace(_module: nn.Module, _arguments: object, output: object) -> object:
            runs.append(None)
            own = place.select(output)
            if isinstance(own, Tensor) and own.shape != replacement.shape:
                raise ValueError(
                    f'layer "{layer}" puts out (n, *{tuple(own.shape[1:])}), got {tuple(replacement.shape)}'
                )
            return place.replaced(output, like(replacement, own) if isinstance(own, Tensor) else replacement)

        with hooked(place.module, replace):
            logits = self._run(inputs)
        if len(runs) != 1:
            raise SimbenchError(not_once(layer, len(runs)))
        return logits

    def _place(self, layer: str) -> Place:
        return place_of(self.network, layer)

    def _has(self, layer: str) -> bool:
        try:
            self._place(layer)
        except UnknownNameError:
            return False
        return True

    def _here(self, activations: Tensor) -> Tensor:
        """Move activations to the network's device and, if they are floating point, into the network's dtype."""
        if next(self.network.parameters(), None) is None:
            return activations
        dtype = floating_dtype(self.network) if activations.is_floating_point() else None
        return activations.to(self.device, dtype or activations.dtype)

    def _blank(self, count: int, purpose: str) -> Tensor:
        """Return inputs of no meaning in the right shape: zeros, or a token sequence that has been seen."""
        if self.input_shape is None:
            raise ValueError(f"{purpose} needs inputs, or to know their shape")
        if self._examples is not None and len(self._examples):
            return self._examples[:1].expand(count, *self._examples.shape[1:])
        return torch.zeros(count, *self.input_shape)

    def _few_inputs(self, seed: int) -> Tensor:
        """Return `MEASURED` inputs: random numbers, or token sequences that have been seen, others for other seeds."""
        blank = self._blank(MEASURED, "measuring how a layer is connected")
        if self._examples is not None and len(self._examples):
            order = torch.arange(MEASURED) + seed * min(MEASURED, len(self._examples) // 2)
            return self._examples[order % len(self._examples)]
        generator = torch.Generator().manual_seed(seed)
        if isinstance(self.network, StagedNetwork) and self.network.vocabulary is not None:
            return torch.randint(self.network.vocabulary, blank.shape, generator=generator).to(blank.dtype)
        return torch.randn(blank.shape, generator=generator)


def _linear_head(module: nn.Linear) -> Head:
    """Return a linear module as a read-out; one without a bias adds zeros."""
    bias = module.bias if module.bias is not None else module.weight.new_zeros(module.out_features)
    return Head(module.weight, bias)
