"""Asks the server what it would do for what the panel says now, but not at every keystroke. No bpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.errors import GONE
from ...wan_backend.protocol.messages import Origin, Plan, PlanParams, TakeRequest
from ..backend.client import Client

QUIET_SECONDS = 0.3
"""So long nothing may change before the question is sent."""
MOST_UNDER_WAY = 3
"""A plan may have to look at slow disks; what is asked meanwhile must not pile up."""


class Planner:
    """The plan for the latest request."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.plan: Plan | None = None
        self.sentence = ""
        """Why there is no plan, where the server said so."""
        self._on_change = on_change
        self._wanted: TakeRequest | None = None
        self._wanted_since = 0.0
        self._asked: TakeRequest | None = None
        self._planned: TakeRequest | None = None
        self._under_way = 0

    def plan_of(self, request: TakeRequest) -> Plan | None:
        """The plan, where it is that of `request`."""
        return self.plan if self._planned == _key(request) else None

    def want(self, request: TakeRequest) -> None:
        """`request` is what the panel says now; its seed and place make no difference."""
        key = _key(request)
        if key != self._wanted:
            self._wanted, self._wanted_since = key, time.monotonic()

    def tick(self, client: Client) -> None:
        """Ask, if there is something new and it has been left alone for a moment."""
        wanted = self._wanted
        if wanted is None or wanted == self._asked or time.monotonic() - self._wanted_since < QUIET_SECONDS:
            return
        if self._under_way >= MOST_UNDER_WAY:
            return
        self._asked = wanted
        self._under_way += 1

        def answered(plan: Plan) -> None:
            self._under_way -= 1
            if wanted == self._wanted:
                self.plan, self.sentence, self._planned = plan, "", wanted
                self._on_change()

        def failed(error: ProtocolError) -> None:
            self._under_way -= 1
            if error.code == GONE:
                self._asked = None  # the next server is asked
            elif wanted == self._wanted:
                self.plan, self.sentence = None, error.message
                self._on_change()

        client.call("plan", PlanParams(wanted), answered, failed)

    def forget(self) -> None:
        """The server is another one: its models may be other ones, so ask again."""
        self._asked = None


def _key(request: TakeRequest) -> TakeRequest:
    return replace(request, seed=0, origin=Origin())
