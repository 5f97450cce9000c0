"""What is known of the cluster's nodes, and its words for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from ..protocol.sentences import Sentence
from . import actor
from .placing import Wish

IN_THE_WAY = Sentence("Node {node} of the cluster makes no takes: {why}")
LACKS_PACKAGE = Sentence(
    "its Python, {python}, has no wan_backend. Install version {version} there, as the page on render farms says."
)
OTHER_VERSION = Sentence("it has version {other} of wan_backend, and this is {version}. Install the same one there.")
UNSEEN = Sentence(
    "it doesn't see {folder}. Give `serve --state` a folder on a disk that all nodes have under the same path."
)
UNSTARTED = Sentence("the worker can't be started there ({reason}).")


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    id: str
    name: str
    alive: bool
    resources: dict[str, float]

    def places(self, wish: Wish) -> int:
        """How many such workers it has room for where it has nothing else to do."""
        asked = wish.resources
        return min(int(self.resources.get(name, 0.0) // amount) for name, amount in asked.items())


def listed() -> list[Node]:
    """All nodes that the cluster knows, those that are gone too."""
    return [_node(each) for each in ray.nodes()]  # type: ignore[no-untyped-call]


def _node(told: dict[str, Any]) -> Node:
    name, address = str(told.get("NodeName", "")), str(told.get("NodeManagerAddress", ""))
    named = name if name and name != address else str(told.get("NodeManagerHostname") or address)
    return Node(str(told["NodeID"]), named, bool(told["Alive"]), dict(told.get("Resources", {})))


def why_not(answer: dict[str, Any], version: str, folder: str) -> Sentence | None:
    """Why a node can't have a worker, by what `Hand.begin` answered; None if it has one."""
    how = answer["how"]
    if how == actor.LACKS_PACKAGE:
        return LACKS_PACKAGE.with_values(python=answer["python"], version=version)
    if how == actor.OTHER_VERSION:
        return OTHER_VERSION.with_values(other=answer["version"], version=version)
    if how == actor.UNSEEN:
        return UNSEEN.with_values(folder=folder)
    return UNSTARTED.with_values(reason=answer["reason"]) if how == actor.UNSTARTED else None
