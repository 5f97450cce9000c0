"""Work that goes on while what it gave is used: a generator in a thread, a few items ahead. Standard library only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 1
"""Items that wait while the next one is made."""
_LOOK_SECONDS = 0.05
"""How soon a thread whose items nobody takes any more sees that."""


@dataclass(frozen=True)
class _End:
    """The generator ended: by itself, or with an error."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None], depth: int = DEPTH) -> Iterator[Item]:
    """Yield `items`, which a thread makes `depth` and one ahead; what it raises is raised here, in its turn.

    Left early, it waits for the item in the works, and closes `items`.
    """
    made: queue.Queue[Item | _End] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _End):
                break
            yield item
            del item
        if item.error is not None:
            error = item.error
            try:
                del item  # it would hold the error, whose traceback holds this frame and the thread's tensors
                raise error
            finally:
                del error
    finally:
        left.set()
        thread.join()


def _make(items: Generator[Item, None, None], made: queue.Queue[Item | _End], left: threading.Event) -> None:
    try:
        for item in items:
            if not _put(made, item, left):
                return
            del item
        _put(made, _End(), left)
    except BaseException as error:  # noqa: BLE001  # raised again by the one who waits for it
        _put(made, _End(error), left)
    finally:
        items.close()


def _put(made: queue.Queue[Item | _End], item: Item | _End, left: threading.Event) -> bool:
    """False where nobody takes it any more."""
    while not left.is_set():
        try:
            made.put(item, timeout=_LOOK_SECONDS)
        except queue.Full:
            continue
        return True
    return False
