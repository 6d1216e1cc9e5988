"""An engine of somebody else's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from simbench.run.engines import Outcome, Report, Task, engine, run_task


@engine("good_plugin/backwards")
class Backwards:
    """All tasks in this process, the last one first."""

    def __init__(self, jobs: int) -> None:
        """Ignore `jobs`."""

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run all tasks, the last one first, and say so."""
        for task in reversed(tasks):
            print(f"good_plugin/backwards: {task.name}", file=sys.stderr)
            yield run_task(task, report)

    def close(self) -> None:
        """Stop nothing: no task runs after its outcome was asked for."""
