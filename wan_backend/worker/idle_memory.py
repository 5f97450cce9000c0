"""Whether other programs need the memory that an idle process's model has; then that goes."""

from __future__ import annotations

import logging

import psutil
import torch

from ..loading import devices
from ..loading.wan_model import WanModel
from ..memory.idle import FreeMemory, is_needed_by_others

log = logging.getLogger(__name__)


class IdleMemory:
    """Looks at the memory between jobs."""

    def __init__(self) -> None:
        self._before: list[FreeMemory] = []
        """What was free at the first look after the last work; empty before that look."""

    def worked(self) -> None:
        """Note that the process was not idle."""
        self._before = []

    def look(self, model: WanModel) -> bool:
        """Let the model go if others need its memory; True if it went."""
        if not any(map(model.loaded, model.components)):
            return False
        now = free_memory(model.device)
        if any(each.is_short for each in now):  # it may be no more than torch's own reserve
            devices.release(model.device)
            now = free_memory(model.device)
        if not self._before:
            self._before = now
        elif any(map(is_needed_by_others, now, self._before)):
            log.info("other programs need the memory, so the model is not kept warm: %s", now)
            model.drop_all()
            devices.release(model.device)
            self._before = []
            return True
        return False


def free_memory(device: torch.device) -> list[FreeMemory]:
    """The machine's memory, and the card's where it has its own."""
    virtual = psutil.virtual_memory()
    found = [FreeMemory(int(virtual.available), int(virtual.total))]
    if device.type == "cuda":
        found.append(FreeMemory(*torch.cuda.mem_get_info(device)))
    return found
