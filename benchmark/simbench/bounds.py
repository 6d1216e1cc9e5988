"""Bounds on sizes in suites: generous for what people do, and small enough that no line asks for all memory there is.

Suites are files of strangers: `depth: 10000000` is refused when a suite is read, before a name is made for each layer.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from simbench.visible import visible

# The widest layer of the largest language models has 53,248 features.
WIDEST = 100_000
DEEPEST_NETWORK = 1_000
# ImageNet-21k has 14 million images.
MOST_INPUTS = 20_000_000
MOST_CLASSES = 100_000
# How often something is drawn, permuted or begun anew.
MOST_REPETITIONS = 1_000_000
# Tests compare models in pairs, or along a ring.
MOST_SEEDS = 1_000
MOST_LAYERS = 1_000
# Groups of models; models, which are groups times seeds; layers of all models.
MOST_GROUPS = 2_000
MOST_MODELS = 20_000
MOST_REPRESENTATIONS = 200_000
MOST_TESTS = 1_000
MOST_METRICS = 1_000
MOST_PLUGINS = 100
# Names of suites, tests and groups become names of files, which most systems take up to 255 bytes.
LONGEST_NAME = 100

# A member's name stands in names of files, and behind a slash in that of the model.
NOT_IN_NAMES = "/\\{}"


def _as_name(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _member_name(name: str) -> str:
    if not name or name != name.strip() or not name.isprintable() or not set(NOT_IN_NAMES).isdisjoint(name):
        raise ValueError(f'"{visible(name)}" cannot name a member: letters, digits and signs but {NOT_IN_NAMES} can')
    return name


Width = Annotated[int, Field(ge=1, le=WIDEST)]
Depth = Annotated[int, Field(ge=1, le=DEEPEST_NETWORK)]
KernelSize = Annotated[int, Field(ge=1, le=1_000)]
Inputs = Annotated[int, Field(ge=1, le=MOST_INPUTS)]
Classes = Annotated[int, Field(ge=1, le=MOST_CLASSES)]
Epochs = Annotated[int, Field(ge=0, le=100_000)]
Repetitions = Annotated[int, Field(ge=1, le=MOST_REPETITIONS)]
Seeds = Annotated[list[int], Field(min_length=1, max_length=MOST_SEEDS)]
MemberName = Annotated[str, BeforeValidator(_as_name), AfterValidator(_member_name), Field(max_length=LONGEST_NAME)]
Members = Annotated[list[MemberName], Field(min_length=1, max_length=MOST_SEEDS)]
LayerNames = Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=MOST_LAYERS)]
