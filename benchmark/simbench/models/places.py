"""Places of layers: a module by its dotted name and, where it puts out more than a tensor, the element of its output.

`attn[0]` is the first element of the tuple that `attn` puts out, `encoder.last_hidden_state` what has this name in the
output of `encoder`, `.logits` that of the network's own output.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from simbench.errors import NotApplicable, SimbenchError, UnknownNameError, described, suggestion

SELECTOR = re.compile(r"\[([^\[\]]*)\]|\.([A-Za-z_]\w*)")
# Modules that only hold others, and put out nothing.
CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
Selector = int | str


@dataclass(frozen=True)
class Place:
    """Place where a representation is read and replaced.

    Attributes:
        layer: its name, as the suite gives it.
        module: the module that puts it out.
        selectors: the element of the output, and of that, and so on; none for the output itself.
    """

    layer: str
    module: nn.Module
    selectors: tuple[Selector, ...] = ()

    def select(self, output: object) -> object:
        """Return the element of an output of the module.

        Raises:
            SimbenchError: there is none.
        """
        for selector in self.selectors:
            output = _selected(output, selector, self.layer)
        return output

    def replaced(self, output: object, element: Tensor) -> object:
        """Return an output of the module in which an element stands in place of its own.

        Raises:
            NotApplicable: outputs of this kind cannot be changed.
        """
        return self._replaced(output, self.selectors, element)

    def _replaced(self, output: object, selectors: tuple[Selector, ...], element: object) -> object:
        if not selectors:
            return element
        first, *rest = selectors
        inside = self._replaced(_selected(output, first, self.layer), tuple(rest), element)
        try:
            changed = _with_element(output, first, inside)
        except Exception as error:  # whatever a class of somebody else's says to it
            raise NotApplicable(f"{self._unreplaceable(output)}: {described(error)}") from None
        if _selected(changed, first, self.layer) is not inside:
            raise NotApplicable(self._unreplaceable(output))
        return changed

    def _unreplaceable(self, output: object) -> str:
        return f'layer "{self.layer}": an element of a {type(output).__name__} cannot be replaced'


def place_of(network: nn.Module, layer: str) -> Place:
    """Return the place that a name means in a network.

    Raises:
        UnknownNameError: the network has no such module.
    """
    dotted, bracket, rest = layer.partition("[")
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        module = _submodule(network, ".".join(parts[:end])) if parts[:end] != [""] or layer[:1] in (".", "[") else None
        if module is None:
            continue
        selectors = _selectors("".join(f".{part}" for part in parts[end:]) + bracket + rest)
        if selectors is not None and not (end < len(parts) and _puts_out_no_names(module)):
            return Place(layer, module, selectors)
        break
    raise UnknownNameError("layer", layer, module_names(network))


def module_names(network: nn.Module) -> list[str]:
    """Return the dotted names of all modules inside a network, in its order."""
    return [name for name, _ in network.named_modules() if name]


def _submodule(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def _selectors(text: str) -> tuple[Selector, ...] | None:
    """Return what selects an element of an output; None if the text says something else.

    >>> _selectors("[0].last_hidden_state[-1]"), _selectors(".0"), _selectors("")
    ((0, 'last_hidden_state', -1), None, ())
    """
    selectors: list[Selector] = []
    position = 0
    while position < len(text):
        match = SELECTOR.match(text, position)
        if match is None or not (match[1] or match[2]):
            return None
        key = (match[1] or match[2]).strip("'\"")
        selectors.append(int(key) if re.fullmatch(r"-?\d{1,6}", key) and match[1] else key)
        position = match.end()
    return tuple(selectors)


def _puts_out_no_names(module: nn.Module) -> bool:
    """Tell whether what a module puts out has no named elements for sure, so that a name is that of no module."""
    return isinstance(module, CONTAINERS) or type(module).__module__.startswith("torch.nn.modules.")


def _selected(output: object, selector: Selector, layer: str) -> Any:
    """Return an element of an output; raise `SimbenchError` that says which there are."""
    if isinstance(output, Mapping) and selector in output:
        return output[selector]
    if isinstance(selector, int):
        items = list(output.values()) if isinstance(output, Mapping) else output
        if isinstance(items, tuple | list) and -len(items) <= selector < len(items):
            return items[selector]
    elif not isinstance(output, Tensor | Mapping) and hasattr(output, selector):
        return getattr(output, selector)
    names = list(dict.fromkeys(name for name, _ in elements_of(output)))
    nearest = suggestion(f".{selector}" if isinstance(selector, str) else f"[{selector}]", names) if names else ""
    raise SimbenchError(f'layer "{layer}": there is no "{selector}" in the {type(output).__name__} put out{nearest}')


def elements_of(output: object) -> Iterator[tuple[str, object]]:
    """Yield the elements of an output with how they are selected."""
    if isinstance(output, Mapping):
        yield from ((f".{key}" if str(key).isidentifier() else f"[{key}]", value) for key, value in output.items())
    elif isinstance(output, tuple | list):
        yield from ((f"[{index}]", value) for index, value in enumerate(output))
    elif dataclasses.is_dataclass(output):
        yield from ((f".{each.name}", getattr(output, each.name, None)) for each in dataclasses.fields(output))
    elif not isinstance(output, Tensor):
        yield from ((f".{name}", value) for name, value in getattr(output, "__dict__", {}).items())


def tensors_in(output: object) -> list[str]:
    """Return how the tensors in an output are selected, such as `[0]` or `.logits`."""
    return [name for name, value in elements_of(output) if isinstance(value, Tensor)]


def _with_element(output: Any, selector: Selector, element: object) -> object:
    """Return a copy of an output with another element."""
    if isinstance(output, Mapping):
        key = selector if selector in output else list(output)[int(selector)]
        changed = copy.copy(output)
        changed[key] = element  # type: ignore[index]
        return changed
    if isinstance(output, tuple) and isinstance(selector, str):
        return output._replace(**{selector: element})  # type: ignore[attr-defined]
    if isinstance(output, tuple | list):
        assert isinstance(selector, int)
        items = list(output)
        items[selector] = element
        if isinstance(output, tuple):
            return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
        return items
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return dataclasses.replace(output, **{str(selector): element})
    changed = copy.copy(output)
    setattr(changed, str(selector), element)
    return changed
