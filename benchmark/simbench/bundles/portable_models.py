"""Groups of models in a bundle: hashes stand for files, since a bundle names no path."""

from __future__ import annotations

import re

from simbench.bundles.archive import SUITE, BadBundleError
from simbench.errors import SimbenchError
from simbench.files import from_home
from simbench.models.loading import has_published_weights, weights_in_key
from simbench.plan.given import DIGEST_OF_ARRAY, array_in_key
from simbench.registry import ARCHITECTURES
from simbench.suite.schema import ModelSpec, Suite

# A model on a hub: its owner and its name.
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


def portable_group(name: str, spec: ModelSpec) -> ModelSpec:
    """Return a group of this name with hashes in place of files; where each of its models has some, by member."""
    if spec.activations is not None:
        return _with_portable_arrays(name, spec)
    if (folder := _folder_in(spec)) is not None:
        raise SimbenchError(f"models.{name}: {folder} is a folder of yours: nobody else could check a bundle of it")
    if spec.load is None:
        return spec
    weights = {model.own_name: _portable(spec.weights(model), spec.network.name) for model in spec.models(name)}
    if spec.of_files:
        return spec.model_copy(update={"load": weights, "members": None, "seeds": [0]})
    return spec.model_copy(update={"load": next(iter(weights.values()))})


def check_portable(suite: Suite) -> None:
    """Raise `BadBundleError` if a group of models names a path."""
    for name, spec in suite.models.items():
        if _folder_in(spec) is not None:
            raise BadBundleError(f"{SUITE}: models.{name}: the architecture names a folder, which no bundle may name")
        for weights in map(spec.weights, spec.models(name) if spec.load is not None else ()):
            if not weights.replace("_", "").isalnum():
                raise BadBundleError(f"{SUITE}: models.{name}.load is neither a hash nor the name of published weights")
        if spec.activations is not None and not all(map(DIGEST_OF_ARRAY.fullmatch, _references(spec))):
            raise BadBundleError(f"{SUITE}: models.{name}: activations are known by hashes of their files alone")


def _folder_in(spec: ModelSpec) -> str | None:
    """Return a parameter of a group's architecture that names a folder, or might; None if there is none."""
    if spec.architecture is None or spec.architecture.name not in ARCHITECTURES:
        return None
    given = spec.architecture.parameters
    files = ARCHITECTURES.get(spec.architecture.name).files if not ARCHITECTURES.locates(spec.architecture.name) else ()
    named = [str(given[name]) for name in sorted(files) if given.get(name) is not None]
    return next((name for name in named if not HUB_NAME.fullmatch(name) or from_home(name).exists()), None)


def _with_portable_arrays(name: str, spec: ModelSpec) -> ModelSpec:
    files = {
        key: {
            model.own_name: {layer: array_in_key(array) for layer, array in spec.arrays(model, inputs).items()}
            for model in spec.models(name)
        }
        for key, inputs in (("activations", "probe"), ("fit", "fit"))
        if getattr(spec, key) is not None
    }
    labels = {
        key: array_in_key(reference)
        for key in ("targets", "fit_targets")
        if (reference := getattr(spec, key)) is not None
    }
    return spec.model_copy(update={**files, **labels})


def _references(spec: ModelSpec) -> list[str]:
    """List the references of a group; of templates, an empty one."""
    references = [labels for labels in (spec.targets, spec.fit_targets) if labels is not None]
    for files in (spec.activations, spec.fit):
        for arrays in files.values() if isinstance(files, dict) else [""] if files is not None else []:
            references += arrays.values() if isinstance(arrays, dict) else [""]
    return references


def _portable(load: str, architecture: str) -> str:
    """Return the hash that stands in a model's key for a file of weights; the name of published weights as it is."""
    return load if has_published_weights(load, architecture) else weights_in_key(load, architecture)
