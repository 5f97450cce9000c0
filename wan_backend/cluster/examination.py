"""What `doctor --ray` says of the cluster: whether it answers, its nodes, and whether takes can be made on each."""

from __future__ import annotations

import json
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .. import __version__
from ..protocol import sentences
from ..protocol.sentences import Sentence
from . import nodes
from .carrier import CantJoin, Options, join
from .nodes import Node
from .placing import remote_class

EXAMINE_SECONDS = 40.0
"""All nodes together: each starts a process of Ray for it."""
READY = Sentence("Node {node} has wan_backend {version} in {python}.")
SILENT = Sentence("Node {node} doesn't answer, or has no memory for a process; see `ray status`.")


def findings(options: Options) -> bytes:
    """A line with pairs: whether it is good, and a sentence."""
    found = list(_findings(options))
    return json.dumps([[good, sentences.pack(words)] for good, words in found]).encode("ascii") + b"\n"


def _findings(options: Options) -> list[tuple[bool, Sentence]]:
    try:
        known = [each for each in join(options.address) if each.alive]
    except CantJoin as error:
        return [(False, error.sentence)]
    able = [each for each in known if each.places(options.wish) > 0]
    places = sum(each.places(options.wish) for each in able)
    said = Sentence(
        "Ray {ray} answers at {address}: {nodes} nodes, with room for {places} workers.",
        ray=ray.__version__,
        address=options.address,
        nodes=len(known),
        places=places,
    )
    return [(bool(places), said), *_of_nodes(able)]


def _of_nodes(able: list[Node]) -> list[tuple[bool, Sentence]]:
    """Of each node, whether it has this version; it needs no free card for that."""
    asked = []
    for node in able:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        hand = remote_class().options(num_cpus=0, scheduling_strategy=there).remote()
        asked.append((node, hand, hand.look.remote(__version__)))
    ray.wait([each for _, _, each in asked], num_returns=len(asked), timeout=EXAMINE_SECONDS)
    return [_of_node(node, answer) for node, _, answer in asked]


def _of_node(node: Node, asked: Any) -> tuple[bool, Sentence]:
    try:
        answer = ray.get(asked, timeout=0)
    except RayError:
        return False, SILENT.with_values(node=node.name)
    why = nodes.why_not(answer, __version__, "")
    if why is not None:
        return False, nodes.IN_THE_WAY.with_values(node=node.name, why=why)
    return True, READY.with_values(node=node.name, version=__version__, python=answer["python"])
