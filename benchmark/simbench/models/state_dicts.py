"""State dicts in checkpoints of training scripts, and the names that their weights have in a network.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, UnknownNameError, suggestion
from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

# How deep in the dictionaries of a checkpoint state dicts are looked for.
DEEPEST = 4
# Modules that PyTorch puts around others, and whose names then stand in those of the weights: DataParallel and
# DistributedDataParallel, torch.compile, fully sharded training, checkpointed activations.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# Counters that play no part in eval mode: of batch norms (missing from old files), and of averaged models.
BATCHES_SEEN, AVERAGED = "num_batches_tracked", "n_averaged"
# What a network stores of its own beside tensors ends so.
EXTRA_STATE = "_extra_state"
# Most names of a file that a message shows.
MOST_SHOWN = 8
# Most modules in a file of which it is tried whether the weights in them are the network's.
MOST_PREFIXES = 200

StateDict = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Needed:
    """Names of a network's weights.

    Attributes:
        names: all of them.
        tied: names of one and the same tensor, of which a file needs to have one.
    """

    names: frozenset[str]
    tied: tuple[frozenset[str], ...] = ()

    @classmethod
    def of(cls, network: nn.Module) -> Needed:
        """Return the names of a network's weights, in the order of its state dict."""
        same: dict[int, set[str]] = {}
        for name, parameter in network.named_parameters(remove_duplicate=False):
            same.setdefault(id(parameter), set()).add(name)
        tied = tuple(frozenset(names) for names in same.values() if len(names) > 1)
        return cls(frozenset(_ordered_names(network)), tied)

    def missing(self, given: Collection[str]) -> set[str]:
        """Return the names that a file with the given ones lacks."""
        lacking = {name for name in self.names if name not in given and not name.endswith(BATCHES_SEEN)}
        return lacking - {name for names in self.tied if not names.isdisjoint(given) for name in names}

    def unexpected(self, given: Iterable[str]) -> set[str]:
        """Return those of the given names that are none of the network's."""
        return set(given) - self.names

    def fits(self, given: Collection[str]) -> bool:
        """Tell whether weights of these names are those of the network."""
        return not self.unexpected(given) and not self.missing(given)


def weights_for(
    network: nn.Module, stored: object, load: str, name: str, key: str | None = None, strip_prefix: str | None = None
) -> dict[str, Tensor]:
    """Return the weights of a network out of what a file holds, under the network's own names.

    Names of modules that stand around the whole network are left out, where all names then fit.

    Args:
        network: the network.
        stored: what the file holds.
        load: the file, for messages.
        name: what messages call the network.
        key: where in the file the state dict is, if it is not to be looked for.
        strip_prefix: what the names begin with; weights whose names begin otherwise are left out.

    Raises:
        SimbenchError: the file holds no state dict, several that fit, or none that does.
    """
    needed = Needed.of(network)
    candidates = state_dicts_in(stored, load, key, strip_prefix)
    fitting = {place: fitted for place, weights in candidates.items() if (fitted := _fitted(weights, needed))}
    if not fitting and any(not weights for weights in candidates.values()) and needed.fits(()):
        return {}
    if len(fitting) > 1:
        places = ", ".join(f'"{place}"' for place in fitting)
        raise SimbenchError(
            f"{load} holds {len(fitting)} sets of weights that fit {name}: {places}; choose one by its key, such as "
            f"`key: {next(iter(fitting))}`"
        )
    if fitting:
        return dict(next(iter(fitting.values())))
    raise SimbenchError(f"{load} does not fit {name}: {_misfit(candidates, needed, _ordered_names(network))}")


def state_dicts_in(
    stored: object, load: str, key: str | None = None, strip_prefix: str | None = None
) -> dict[str, StateDict]:
    """Return the state dicts in what a file holds, by their place in it (dotted; empty for the whole file).

    Raises:
        SimbenchError: there is none, or nothing at the key, or no name begins with the prefix.
    """
    at = _under(stored, key, load) if key is not None else stored
    prefix = "" if key is None else key
    candidates: dict[str, StateDict] = {prefix: {}} if isinstance(at, Mapping) and not at else {}
    candidates |= dict(_state_dicts(at, prefix, set()))
    if not candidates:
        where = load if key is None else f'{load}: "{key}"'
        holds = f", but {_shown(map(str, at))}" if isinstance(at, Mapping) else ""
        raise SimbenchError(f"{where} holds no state dict{holds}: save the network's state_dict()")
    if strip_prefix is None:
        return candidates
    stripped = {place: _under_prefix(weights, strip_prefix) for place, weights in candidates.items()}
    if not any(stripped.values()):
        firsts = dict.fromkeys(f"{name.partition('.')[0]}." for weights in candidates.values() for name in weights)
        raise SimbenchError(
            f'{load}: no name of a weight begins with "{strip_prefix}"; they begin with {_shown(firsts)}'
        )
    return {place: weights for place, weights in stripped.items() if weights}


def _under(stored: object, key: str, load: str) -> object:
    """Return what stands at a key, or at keys joined by dots."""
    names = [str(name) for name in stored] if isinstance(stored, Mapping) else []
    if isinstance(stored, Mapping) and key in stored:
        return stored[key]
    first, _, rest = key.partition(".")
    if rest and isinstance(stored, Mapping) and first in stored:
        return _under(stored[first], rest, load)
    raise SimbenchError(f"{load}: {UnknownNameError('key', key, names)}")


def _state_dicts(stored: object, place: str, seen: set[int], depth: int = 0) -> Iterator[tuple[str, StateDict]]:
    if not isinstance(stored, Mapping) or id(stored) in seen:
        return
    seen.add(id(stored))
    if (weights := _as_state_dict(stored)) is not None:
        yield place, weights
    elif depth < DEEPEST:
        for name, value in stored.items():
            if isinstance(name, str):
                yield from _state_dicts(value, f"{place}.{name}" if place else name, seen, depth + 1)


def _as_state_dict(stored: Mapping[Any, Any]) -> StateDict | None:
    """Return the tensors of a dictionary that holds nothing else, or else what networks store of their own."""
    weights = {name: value for name, value in stored.items() if isinstance(name, str) and _is_tensor(value)}
    others = [name for name in stored if name not in weights]
    return weights if weights and all(str(name).endswith(EXTRA_STATE) for name in others) else None


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _fitted(weights: StateDict, needed: Needed) -> StateDict | None:
    """Return the weights under the network's names, if leaving out names of modules around it makes all of them fit."""
    return next((renamed for renamed in _renamings(weights) if needed.fits(renamed)), None)


def _renamings(weights: StateDict) -> Iterator[StateDict]:
    """Yield the weights as they are, and under the names that are left without what stands before all of them."""
    plain = {name: tensor for name, tensor in weights.items() if name != AVERAGED}
    unwrapped = {_without_wrappers(name): tensor for name, tensor in plain.items()}
    bases = [weights, plain] if len(unwrapped) < len(plain) else [weights, plain, unwrapped]
    for base in bases:
        yield base
        while (prefix := _common_prefix(base)) is not None:
            base = _under_prefix(base, prefix)
            yield base


def _without_wrappers(name: str) -> str:
    """Return a name without those of modules that PyTorch puts around others.

    >>> _without_wrappers("_orig_mod.module.fc1.weight")
    'fc1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _common_prefix(names: Iterable[str]) -> str | None:
    """Return the name of the module, with its dot, that all names begin with; None if they begin otherwise."""
    firsts = {name.partition(".")[0] if "." in name else None for name in names}
    first = next(iter(firsts), None)
    return f"{first}." if len(firsts) == 1 and first is not None else None


def _under_prefix(weights: StateDict, prefix: str) -> StateDict:
    return {name[len(prefix) :]: tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _misfit(candidates: Mapping[str, StateDict], needed: Needed, names: Iterable[str]) -> str:
    """Say of the state dict that fits best which weights are missing or unexpected, and what else the file holds."""
    in_reach = [(place, renamed) for place, weights in candidates.items() for renamed in _renamings(weights)]
    place, given = max(in_reach, key=lambda choice: len(needed.names.intersection(choice[1])))
    missing = [name for name in names if name in needed.missing(given)]
    unexpected = [name for name in given if name not in needed.names]
    problems = [f'of "{place}", '] if place else [""]
    if missing:
        nearest = suggestion(missing[0], unexpected) if unexpected else ""
        problems.append(f'{len(missing)} keys missing (first "{missing[0]}"{nearest})')
    if unexpected:
        problems.append(f'{len(unexpected)} unexpected (first "{unexpected[0]}")')
    said = problems[0] + ", ".join(problems[1:])
    fitting = list(_fitting_parts(candidates, needed))
    if fitting:
        return f"{said}; a part of the file fits: {' or '.join(fitting[:MOST_SHOWN])}"
    places = [f'"{place}"' for place in candidates if place]
    return f"{said}; choose by `key` among {', '.join(places[:MOST_SHOWN])}" if len(places) > 1 else said


def _fitting_parts(candidates: Mapping[str, StateDict], needed: Needed) -> Iterator[str]:
    """Yield the options of a suite by which weights of a part of the file's names fit."""
    for place, weights in candidates.items():
        prefixes = dict.fromkeys(prefix for name in weights for prefix in _prefixes(name))
        for prefix in islice(prefixes, MOST_PREFIXES):
            if needed.names and needed.fits(_under_prefix(weights, prefix)):
                yield (
                    f'`key: {place}`, `strip_prefix: "{prefix}"`'
                    if place and len(candidates) > 1
                    else (f'`strip_prefix: "{prefix}"`')
                )


def _prefixes(name: str) -> Iterator[str]:
    """Yield the names of the modules around a weight, each with its dot.

    >>> list(_prefixes("model.net.fc.weight"))
    ['model.', 'model.net.', 'model.net.fc.']
    """
    parts = name.split(".")
    yield from (f"{'.'.join(parts[:end])}." for end in range(1, len(parts)))


def _ordered_names(network: nn.Module) -> list[str]:
    """Return the names of the tensors that a network stores, in its order."""
    return [name for name, value in network.state_dict().items() if _is_tensor(value)]


def _shown(names: Iterable[str]) -> str:
    """Return names in quotes; of many, the first."""
    every = list(names)
    return ", ".join([*(f'"{name}"' for name in every[:MOST_SHOWN]), *(["…"] if len(every) > MOST_SHOWN else [])])


def fit_into(network: nn.Module, weights: StateDict, load: str, name: str) -> None:
    """Load the weights; raise `SimbenchError` that says in one line which shape does not fit."""
    check_shapes(network.state_dict(), weights, load, name)
    network.load_state_dict(weights, strict=False)


def check_shapes(own: StateDict, weights: StateDict, load: str, name: str) -> None:
    """Raise `SimbenchError` that says which of the weights has another shape than the network's own, if any has."""
    for key, tensor in weights.items():
        if key in own and tensor.shape != own[key].shape:
            raise SimbenchError(
                f"{load} does not fit {name}: {key} has shape {tuple(tensor.shape)}, needed {tuple(own[key].shape)}"
            )
