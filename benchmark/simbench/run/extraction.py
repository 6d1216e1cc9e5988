"""Extraction of layers: one pass of a network, of which rows or whole activations are stored as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simbench.errors import SimbenchError
from simbench.files import remove
from simbench.models.model import EXTRACTION_BATCH, MEASURED, Model
from simbench.plan.plan import PlannedActivations
from simbench.representations.layouts import SEQUENCE_AXES, Layout, declared_as
from simbench.representations.notes import shards_beside
from simbench.representations.padding import padding_remarks, real_tokens
from simbench.representations.representation import Representation
from simbench.representations.selection import largest_magnitude
from simbench.representations.spatial import OF_SEQUENCES, Part, SpatialRule, rows_of, rows_per_input
from simbench.representations.storage import DamagedError, read_activations
from simbench.representations.writer import ActivationWriter, Extent, flush_if_full
from simbench.results.store import Store
from simbench.run.execution import computing
from simbench.run.materials import Materials
from simbench.run.tasks import ending_the_run

# Largest change of a log-probability under a map of the weights that counts as a reparametrisation.
LARGEST_LOG_PROBABILITY_CHANGE = 1e-4
# Rounding is allowed to change more: so many units in the last place of the largest log-probability.
ROUNDINGS = 16
# Bytes of a layer's output of which rows are made at once: a pass over all inputs copies no more than this.
PIECE = 16 * 2**20


@dataclass(frozen=True)
class Wanted:
    """Activations to store, whole or as the rows that all who need them are content with."""

    planned: PlannedActivations
    whole: bool


@ending_the_run
def extract(materials: Materials, wanted: Sequence[Wanted]) -> dict[str, str]:
    """Read layers of one model (under one reparametrisation) on one set of inputs in one pass, and store them.

    Return the reasons of the layers that cannot be read.
    """
    materials.load_plugins()
    first = wanted[0].planned
    model = materials.model(first.model, first.reparametrisation)
    inputs = materials.read_inputs(first.inputs, model)
    notes = {"model": str(first.model), "inputs": first.inputs, "largest_input": json.dumps(largest_magnitude(inputs))}
    if first.reparametrisation is not None:
        base = materials.model(first.model)
        change, rounding = _largest_change(base.logits(inputs), model.logits(inputs))
        if not change < max(LARGEST_LOG_PROBABILITY_CHANGE, ROUNDINGS * rounding):
            raise SimbenchError(
                f"{first.reparametrisation} of {first.model} changed a log-probability by {change:.2e}: "
                "the premise of the test does not hold"
            )
        notes["largest_log_probability_change"] = f"{change:.3e}"
    with computing(f"{first.model} on {first.inputs}"):
        layers, unreadable = _layers(materials, model, wanted, inputs)
        start = min((layer.inputs_read for layer in layers), default=0) // EXTRACTION_BATCH * EXTRACTION_BATCH
        writers = [layer.writer for layer in layers]
        sinks = {layer.name: layer.sink(lambda: flush_if_full(writers)) for layer in layers}
        unreadable |= model.stream(inputs, sinks, start)
        for layer in layers:
            if layer.name in unreadable:
                layer.writer.discard()
            else:
                layer.finish(notes, inputs)
    return {layer: str(error) for layer, error in unreadable.items()}


def _largest_change(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the largest change of a log-probability, and the change due to rounding of the logits."""
    ells = [logits.double().log_softmax(1) for logits in (before, after)]
    return (ells[0] - ells[1]).abs().max().item(), ells[0].abs().max().item() * torch.finfo(before.dtype).eps


@dataclass
class _Layer:
    """A layer in extraction.

    Attributes:
        name: its name.
        layout: its layout, where that is known.
        rule: the spatial rule, where only rows are stored.
        inputs: the number of all inputs.
        writer: the writer of its file.
        mask: which tokens of the inputs are real, if some are not.
    """

    name: str
    layout: Layout | None
    rule: SpatialRule | None
    inputs: int
    writer: ActivationWriter
    mask: Tensor | None = None
    shape: tuple[int, ...] = ()

    @property
    def inputs_read(self) -> int:
        """Number of inputs that an earlier run has read."""
        return self.writer.rows // (1 if self.rule is None else rows_per_input(self.rule, self.inputs))

    def sink(self, after: Callable[[], None]) -> Callable[[Tensor, int], None]:
        """Return what takes the layer's outputs, batch by batch, and calls `after` at the end of each."""

        def take(output: Tensor, first: int) -> None:
            self.shape = (self.inputs, *output.shape[1:])
            if self.rule is None:
                self.writer.append(output, first)
            else:
                self._append_rows(output, first, self.rule)
            after()

        return take

    def _append_rows(self, output: Tensor, first: int, rule: SpatialRule) -> None:
        assert self.layout is not None
        assert self.writer.extent is not None
        mask = self._mask_of(output, first)
        self.writer.extent.see(output, mask)
        if not output.numel():
            self.writer.append(output.new_zeros(len(output) * rows_per_input(rule, self.inputs), 0), first)
            return
        size = max(1, PIECE // max(1, output[0].nbytes))
        for start in range(0, len(output), size):
            # contiguous, as it would be when read from a file: that decides in which order numbers are added
            piece = output[start : start + size].contiguous()
            real = None if mask is None else mask[start : start + size]
            rows = rows_of(piece, self.layout, rule, Part(first + start, self.inputs), real, self.name)
            self.writer.append(rows, (first + start) * rows_per_input(rule, self.inputs))

    def _mask_of(self, output: Tensor, first: int) -> Tensor | None:
        """Return which tokens of a batch are real; None if all are, or if they are not those of the inputs."""
        sequences = self.layout == "tokens" and output.ndim == SEQUENCE_AXES
        mask = self.mask[first : first + len(output)] if self.mask is not None and sequences else None
        return None if mask is None or mask.shape != output.shape[:2] else mask

    def _remarks(self, inputs: object) -> tuple[str, ...]:
        """Return what a reader of scores should know of padding, given the inputs."""
        if self.rule is None or self.layout is None or self.mask is None or len(self.shape) < SEQUENCE_AXES:
            return ()
        outline = torch.empty((), device="cpu").expand(self.shape)
        return padding_remarks(
            Representation(outline, self.layout, self.name, inputs=inputs, spatial=self.rule, mask=self.mask)
        )

    def finish(self, notes: dict[str, str], inputs: object) -> None:
        """Write the file that says that all is there."""
        notes = notes | {"layer": self.name}
        if remarks := self._remarks(inputs):
            notes["remarks"] = json.dumps(remarks)
        if self.layout is not None:
            notes["layout"] = self.layout
        if self.writer.extent is not None:
            largest, spread = self.writer.extent.now()
            notes["summary"] = json.dumps({"shape": self.shape or None, "largest": largest, "spread": spread})
        self.writer.finish(notes)


def _layers(
    materials: Materials, model: Model, wanted: Sequence[Wanted], inputs: Any
) -> tuple[list[_Layer], dict[str, SimbenchError]]:
    """Prepare the layers that can be read, as far as a few inputs tell; return the errors of the others."""
    trial, mask = model.read(inputs[:MEASURED], [w.planned.layer for w in wanted]), real_tokens(inputs)
    layers: list[_Layer] = []
    unreadable: dict[str, SimbenchError] = {}
    for each in wanted:
        planned, output = each.planned, trial[each.planned.layer]
        axes = 2 if isinstance(output, SimbenchError) else output.ndim
        layout, problem = _layout(materials, model, planned, axes)
        only_rows = not each.whole and planned.reduced is not None and axes > 2
        if materials.spatial.mode in OF_SEQUENCES and axes != SEQUENCE_AXES:
            only_rows = False  # what such a rule cannot read is said where it is compared
        if only_rows and problem is not None:
            unreadable[planned.layer] = problem
            continue
        key = planned.reduced if only_rows and planned.reduced is not None else planned.key
        path = _free(materials.store, key)
        extent, rule = (Extent(), materials.spatial) if only_rows else (None, None)
        layers.append(_Layer(planned.layer, layout, rule, len(inputs), ActivationWriter(path, key, extent), mask))
    return layers, unreadable


def _layout(
    materials: Materials, model: Model, planned: PlannedActivations, axes: int
) -> tuple[Layout | None, SimbenchError | None]:
    """Return the layout of a layer, or why it cannot be told."""
    if axes == 2:
        return "vector", None
    try:
        return declared_as(materials.declared_layout(planned.model, planned.layer), axes) or model.layout(
            planned.layer
        ), None
    except SimbenchError as error:
        return None, error


def _free(store: Store, key: str) -> Path:
    """Return the path of activations, with nothing else in its place or in that of its shards."""
    path = store.make_room(store.activations(key))
    folder = shards_beside(path)
    if os.path.lexists(folder) and not folder.is_dir():
        remove(folder)
    return path


def find_damage(files: Sequence[tuple[Path, str]]) -> dict[str, str]:
    """Hold files of activations against their checksums; return by key what is wrong with those that are damaged."""
    damage: dict[str, str] = {}
    for path, key in files:
        try:
            read_activations(path, key)
        except DamagedError as error:
            damage[key] = str(error)
        except FileNotFoundError:
            damage[key] = f"{path} has gone"
    return damage
