"""State of the process that outlives a call: put back what somebody else's code has changed of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from simbench.process_state.python_settings import PYTHON_SETTINGS
from simbench.process_state.torch_settings import TORCH_SETTINGS

SETTINGS = (*PYTHON_SETTINGS, *TORCH_SETTINGS)


@contextmanager
def preserved_state(*, importing: bool = False, usual: bool = False) -> Iterator[None]:
    """Restore the state of the process after the block, however it ends.

    A copy of the process that the block made by `os.fork` ends here: else it would go on with the same work.

    Args:
        importing: whether the block imports a module, which may add to the import path or set handlers for good.
        usual: whether the block computes with the settings of a new process, so that its numbers do not depend on
            those of the caller: default dtype and device, gradients, precision, …
    """
    chosen = [setting for setting in SETTINGS if setting.needs in sys.modules and not (importing and setting.may_last)]
    before = [(setting, setting.read()) for setting in chosen]
    process = os.getpid()
    try:
        for setting, value in before:
            if usual and setting.usual is not None and not setting.same(setting.usual(value), value):
                setting.write(setting.usual(value))
        yield
    finally:
        if os.getpid() != process:
            os._exit(1)
        for setting, value in before:
            if not setting.same(value, setting.read()):
                setting.write(value)
