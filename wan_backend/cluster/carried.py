"""One worker of the server on the cluster: finds it a place, carries its lines both ways, notices its end.

Two threads each. A place may be long in coming, which is the cluster's affair: others may be using it, or a node has
to be started first. A call that the network swallows is made again; the hand knows by its number whether it arrived.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError

from .. import __version__
from ..protocol import carrying
from ..protocol.sentences import Sentence
from . import nodes
from .far_end import EXIT, LONG
from .nodes import Node
from .placing import Place, Wish

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
ANSWER_SECONDS = 10.0
"""A hand answers every two seconds; after so long it counts as out of reach."""
AGAIN_SECONDS = 0.5
GONE_SECONDS = 60.0
"""A node that is out of reach for so long is given up, whatever the cluster says."""
KILL_SECONDS = 2.0
MAX_LOST_PLACES = 5
"""Where the actor itself ends so often before it has begun, something is wrong with it, and not with a node."""

FULL = Sentence("It waits for a free place in the cluster.")
NODE_GONE = Sentence("was lost with node {node} of the cluster")
OUT_OF_REACH = Sentence("was on node {node} of the cluster, which can't be reached any more")
ENDED_BY_CLUSTER = Sentence("was ended by the cluster on node {node}, perhaps as its memory ran out")
NOT_STARTED = Sentence("The cluster could not start a worker ({reason}).")


class UnfitNodes:
    """The nodes on which no worker could begin, and why; all workers of the server share it."""

    def __init__(self) -> None:
        self._why: dict[str, Sentence] = {}
        self._lock = threading.Lock()

    def add(self, node: str, why: Sentence) -> None:
        """No worker can begin on the node of that id."""
        with self._lock:
            self._why[node] = why

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        with self._lock:
            return list(self._why)

    def verdict(self, wish: Wish) -> Sentence | None:
        """Why no worker can be anywhere; None where a node is left that might do."""
        with self._lock:
            why = dict(self._why)
        able = [each for each in nodes.listed() if each.alive and each.places(wish) > 0]
        if not able or any(each.id not in why for each in able):
            return None  # where there is none at all, one may come
        return why[able[0].id]

    def forget(self) -> None:
        """Somebody may have mended them."""
        with self._lock:
            self._why.clear()


class CarriedWorker:
    """The worker with one number."""

    def __init__(
        self, number: int, order: dict[str, Any], wish: Wish, unfit: UnfitNodes, tell: Callable[[bytes], None]
    ) -> None:
        """`order` is what far_end.py needs; `tell` sends a line to the server, from any thread."""
        self._number, self._order, self._wish, self._unfit, self._tell = number, order, wish, unfit, tell
        self._silent_seconds = float(order["silent_seconds"])
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ends = threading.Event()
        self._place: Place | None = None
        self._node: Node | None = None
        self._over = False
        self._lost_places = 0

    def start(self) -> None:
        """Look for a place, and go on from there."""
        threading.Thread(target=self._live, name=f"worker-{self._number}", daemon=True).start()

    def send(self, line: bytes) -> None:
        """Have a line handed to the worker."""
        self._outgoing.put(line)

    def close(self) -> None:
        """End its stdin; one that has no place yet wants none any more."""
        if self._node is None:
            self._ends.set()
        self._outgoing.put(b"")

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._ends.set()
        place = self._place
        if place is not None and self._node is not None:
            with contextlib.suppress(RayError):
                ray.wait([place.hand.kill.remote()], timeout=KILL_SECONDS)
            with contextlib.suppress(RayError):
                place.give_back()

    def _live(self) -> None:
        """Its whole life."""
        try:
            if self._find_place():
                if self._ends.is_set():  # it was given up while it began
                    self.kill()
                threading.Thread(target=self._write, name=f"worker-{self._number}-in", daemon=True).start()
                self._read()
            elif not self._over:
                self._end(carrying.EXIT, 0)
        except Exception as error:  # the edge of the thread: the server must hear of it
            log.exception("Worker %d could not be carried", self._number)
            self._end(carrying.UNFIT, NOT_STARTED.with_values(reason=_in_short(error)))
        finally:
            self._over = True
            self._outgoing.put(None)
            if self._place is not None:
                with contextlib.suppress(RayError):
                    self._place.give_back()

    def _end(self, word: str, value: Any) -> None:
        if not self._over:
            self._over = True
            self._tell(carrying.carry(self._number, word, value))

    # A place

    def _find_place(self) -> bool:
        """Have the worker begin on some node; False if that isn't wanted any more, or nowhere possible."""
        while not self._ends.is_set():
            verdict = self._unfit.verdict(self._wish)
            if verdict is not None:
                self._end(carrying.UNFIT, verdict)
                return False
            self._place = Place(self._wish, self._unfit.ids)
            answer, node_id = self._begun(self._place)
            if answer is None:
                self._place.give_back()
                continue
            node = next((each for each in nodes.listed() if each.id == node_id), None)
            node = node or Node(node_id, str(answer["host"]), True, {})
            why = nodes.why_not(answer, __version__, self._order["state"])
            if why is None:
                self._node = node
                shared = max(1, node.places(self._wish)) if node.resources else 1
                told = {"node": node.name, "log": answer["log"], "shared": shared}
                self._tell(carrying.carry(self._number, carrying.BEGAN, told))
                return True
            said = nodes.IN_THE_WAY.with_values(node=node.name, why=why)
            log.warning("%s", said)
            self._unfit.add(node_id, said)
            self._place.give_back()
        return False

    def _begun(self, place: Place) -> tuple[dict[str, Any] | None, str]:
        """What `begin` answers there, and the node's id; None if the place went away, or isn't wanted any more."""
        answer = place.hand.begin.remote(self._order)
        told = False
        while not self._ends.is_set():
            done, _ = ray.wait([answer], timeout=LOOK_SECONDS)
            if done:
                try:
                    made: dict[str, Any] = ray.get(answer)
                except RayActorError as error:
                    log.warning("Worker %d lost its place before it began: %s", self._number, _in_short(error))
                    self._lost_places += 1
                    if self._lost_places >= MAX_LOST_PLACES:
                        raise
                    time.sleep(AGAIN_SECONDS)
                    return None, ""
                return made, str(made["node"])
            if not told:
                told = True
                self._tell(carrying.carry(self._number, carrying.WAITS, FULL))
        return None, ""

    # Its lines

    def _write(self) -> None:
        assert self._place is not None
        number = 0
        while (line := self._outgoing.get()) is not None:
            number += 1
            while not self._over:
                try:
                    ray.get(self._place.hand.write.remote(number, line), timeout=ANSWER_SECONDS)
                    break
                except (ActorUnavailableError, GetTimeoutError):
                    time.sleep(AGAIN_SECONDS)
                except RayError:
                    return  # the reading thread tells of it

    def _read(self) -> None:
        assert self._place is not None
        seen, out_since, signs_before = 0, 0.0, None
        while not self._over:
            try:
                asked = self._place.hand.read.remote(seen)
                first, events, signs = ray.get(asked, timeout=ANSWER_SECONDS)
            except (ActorUnavailableError, GetTimeoutError):
                if not out_since:
                    out_since = time.monotonic()
                    self._tell(carrying.carry(self._number, carrying.OUT, True))
                if time.monotonic() - out_since > GONE_SECONDS:
                    self._end(carrying.LOST, OUT_OF_REACH.with_values(node=self._name))
                time.sleep(AGAIN_SECONDS)
                continue
            except RayActorError as error:
                self._died(error, out_since or time.monotonic())
                return
            if out_since:
                out_since = 0.0
                self._tell(carrying.carry(self._number, carrying.OUT, False))
            if signs != signs_before:
                signs_before = signs
                self._tell(carrying.carry(self._number, carrying.SIGNS, signs))
            for kind, payload in events[max(0, seen - first) :]:
                self._on_event(kind, payload)
            seen = max(seen, first + len(events))

    def _on_event(self, kind: str, payload: bytes) -> None:
        if kind == EXIT:
            self._end(carrying.EXIT, int(payload))
        elif kind == LONG:
            self._tell(carrying.carry(self._number, carrying.LONG, payload.hex()))
        else:
            self._tell(carrying.carry_line(self._number, payload))

    @property
    def _name(self) -> str:
        return self._node.name if self._node is not None else ""

    def _died(self, error: RayActorError, out_since: float) -> None:
        """The actor is gone; say so once nothing of it can still be at work."""
        log.warning("Worker %d: %s", self._number, _in_short(error))
        node = self._node
        assert node is not None
        alive = any(each.alive for each in nodes.listed() if each.id == node.id)
        if alive:  # the worker died with its actor
            self._end(carrying.DIED, ENDED_BY_CLUSTER.with_values(node=node.name))
            return
        # A node that only lost its network still works; the far end gives up after so long without a question.
        self._ends.wait(max(0.0, out_since + self._silent_seconds - time.monotonic()))
        self._end(carrying.LOST, NODE_GONE.with_values(node=node.name))


def _in_short(error: BaseException) -> str:
    """The first line of what Ray says, which goes on for pages."""
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
