"""Which stitching metric finds its map how: what a test kind may ask without importing a tensor library."""

from __future__ import annotations

from typing import Literal

Mapping = Literal["direct", "task"]
MAPPINGS: dict[str, Mapping] = {
    "stitch_direct": "direct",
    "stitch_direct_agreement": "direct",
    "stitch_direct_r2": "direct",
    "stitch_direct_relerr": "direct",
    "stitch_task": "task",
    "stitch_task_agreement": "task",
}


def mapping_of(metric_name: str) -> Mapping | None:
    """How the metric finds its map, where `stitch_in_distribution` can find the same one.

    The variants of stitching use other maps, and other metrics none.

    >>> mapping_of("stitch_direct_r2"), mapping_of("stitch_task"), mapping_of("stitch_task_soft"), mapping_of("cka")
    ('direct', 'task', None, None)
    """
    return MAPPINGS.get(metric_name)
