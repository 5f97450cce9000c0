"""Asks the cluster for a place for one worker: cards, and which nodes not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import ray as ray_library
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from . import actor

NODE_LABEL = "ray.io/node-id"
METHODS = {"look": "control", "begin": "control", "kill": "control", "read": "reading", "write": "writing"}
"""The thread of the actor that does each call: the lines of one direction stay in their order."""

ray: Any = ray_library  # half of it has no types
ray.cloudpickle.register_pickle_by_value(actor)  # a node may have another version of it, or none


@dataclass(frozen=True)
class Wish:
    """What a worker is given."""

    cards: int = 1
    """0: it makes takes on the processor."""
    resource: str = ""
    """A resource that the nodes with the models have; one of it is asked for. Empty: any node will do."""

    @property
    def resources(self) -> dict[str, float]:
        """By Ray's names."""
        asked = {"CPU": 1.0}
        if self.cards:
            asked["GPU"] = float(self.cards)
        if self.resource:
            asked[self.resource] = 1.0
        return asked


class Place:
    """A place that was asked for, with the actor that is there or will be."""

    def __init__(self, wish: Wish, but: Collection[str]) -> None:
        """Ask for it; `but` are the ids of nodes that won't do."""
        self._group: PlacementGroup | None = None
        selector = {NODE_LABEL: f"!in({','.join(sorted(but))})"} if but else {}
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
        asked = wish.resources
        if wish.cards > 1:  # several cards of one node, held from the moment that they are all free
            kept = {"bundle_label_selector": [selector]} if selector else {}
            self._group = placement_group([asked], strategy="STRICT_PACK", **kept)
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(self._group, 0)
        elif selector:
            options["label_selector"] = selector
        options |= {"num_cpus": asked.pop("CPU"), "num_gpus": asked.pop("GPU", 0.0), "resources": asked}
        self.hand = remote_class().options(**options).remote()

    def give_back(self) -> None:
        """End the actor, or ask for it no more."""
        ray.kill(self.hand, no_restart=True)
        if self._group is not None:
            remove_placement_group(self._group)


def remote_class() -> Any:
    """The hand as Ray takes it."""
    for method, group in METHODS.items():
        setattr(actor.Hand, method, ray.method(concurrency_group=group)(getattr(actor.Hand, method)))
    groups = {group: 1 for group in METHODS.values()}
    return ray.remote(concurrency_groups=groups)(actor.Hand)
