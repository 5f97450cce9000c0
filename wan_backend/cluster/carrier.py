"""Joins the cluster and carries the lines of all workers between the server, on stdin and stdout, and their actors.

When stdin ends, the server is gone: all workers are ended. When this process ends otherwise, Ray ends its actors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from dataclasses import dataclass
from typing import Any

import ray

from .. import __version__
from ..protocol import LineSplitter, OverlongLine, carrying
from ..protocol.carrying import Carried
from ..protocol.sentences import Sentence
from .carried import CarriedWorker, UnfitNodes
from .nodes import Node, listed
from .placing import Wish

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
REACH_SECONDS = 5.0
NO_ANSWER = Sentence("No Ray cluster answers at {address} ({reason}).")
NONE_HERE = Sentence(
    "No Ray cluster runs on this machine; join one with `ray start --address=...`, or give its address."
)
NOT_JOINED = Sentence("The Ray cluster at {address} can't be joined ({reason}).")
NOT_A_CLIENT = Sentence(
    "{address} is of Ray's client, which can't be used here; join this machine to the cluster with `ray start "
    "--address=HOST:PORT --num-gpus=0`, and give `auto`."
)


class CantJoin(Exception):
    """The cluster can't be joined; with a sentence."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Options:
    """Which cluster, and what a worker is given there."""

    address: str
    wish: Wish
    silent_seconds: float


def join(address: str) -> list[Node]:
    """Join the cluster; its nodes. Raises CantJoin."""
    if address.startswith("ray://"):
        raise CantJoin(NOT_A_CLIENT.with_values(address=address))
    host, is_said, port = address.rpartition(":")
    if address != "auto" and not (is_said and host and port.isdigit()):
        raise CantJoin(NO_ANSWER.with_values(address=address, reason="an address is HOST:PORT, or `auto`"))
    if address != "auto":
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CantJoin(NO_ANSWER.with_values(address=address, reason=reason)) from None
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, namespace="wan_backend")
        return listed()
    except ConnectionError as error:
        if address == "auto":
            raise CantJoin(NONE_HERE) from error
        raise CantJoin(NOT_JOINED.with_values(address=address, reason=_in_short(error))) from error
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:  # versions, a key, a node without us
        raise CantJoin(NOT_JOINED.with_values(address=address, reason=_in_short(error))) from error


class Carrier:
    """All workers of one server."""

    def __init__(self, options: Options, source: int, sink: int) -> None:
        """`source` and `sink` are the descriptors of the server's pipe."""
        self._options, self._source, self._sink = options, source, sink
        self._lock = threading.Lock()
        self._workers: dict[int, CarriedWorker] = {}
        self._unfit = UnfitNodes()

    def run(self) -> int:
        """Carry until stdin ends; the exit code."""
        try:
            found = join(self._options.address)
        except CantJoin as error:
            log.error("%s", error.sentence)
            self._tell(carrying.carry(0, carrying.NO_CLUSTER, error.sentence))
            return 1
        places = sum(each.places(self._options.wish) for each in found if each.alive)
        log.info("Joined; places for workers: %d", places)
        self._tell(carrying.carry(0, carrying.CLUSTER, places))
        splitter = LineSplitter(carrying.MAX_CARRIED_BYTES)
        while chunk := os.read(self._source, CHUNK_BYTES):
            for line in splitter.feed(chunk):
                told = None if isinstance(line, OverlongLine) else carrying.read(line)
                if told is not None:
                    self._take(told)
        self._end_all()
        return 0

    def _take(self, told: Carried) -> None:
        if told.word == carrying.START and told.value is not None:
            self._start(told.worker, told.value)
            return
        worker = self._workers.get(told.worker)
        if worker is None:
            return
        if told.word == carrying.LINE:
            worker.send(told.rest + b"\n")
        elif told.word == carrying.CLOSE:
            worker.close()
        elif told.word == carrying.KILL:
            threading.Thread(target=worker.kill, name=f"worker-{told.worker}-kill", daemon=True).start()

    def _start(self, number: int, order: dict[str, Any]) -> None:
        if order.get("anew"):
            self._unfit.forget()
        whole = {
            **order,
            "number": number,
            "version": __version__,
            "cards": self._options.wish.cards,
            "silent_seconds": self._options.silent_seconds,
        }
        self._workers[number] = CarriedWorker(number, whole, self._options.wish, self._unfit, self._tell)
        self._workers[number].start()

    def _end_all(self) -> None:
        threads = [threading.Thread(target=each.kill, daemon=True) for each in self._workers.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(1.0)

    def _tell(self, line: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):  # a server that is gone is noticed at stdin
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._sink, rest) :]


def _in_short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__
