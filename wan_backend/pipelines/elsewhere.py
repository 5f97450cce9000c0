"""What this process doesn't compute alone: the negative prompt's half of guidance, and shares of a forward pass.

The two halves of a step start from the same latents and meet at its end only, so another card can make one of them:
what goes there and back is small beside a forward pass. And a forward pass can be computed by several cards, each with
a share of the tokens. `denoise` asks; where nobody answers, it computes all itself. So whoever answers may come late or
die, and the take is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from .step_cache import Forward

Answer = Callable[[], Tensor | None]
"""Waits for the prediction; None if there will be none. Raises Stopped."""


class Elsewhere(Protocol):
    """Whoever may compute something of it."""

    def turn(self, component: str) -> None:
        """The transformer of that name makes the next steps."""

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Have the negative prompt's prediction computed for the transformer's `inputs`; None if it can't be, now."""

    def with_others(self, forward: Forward) -> Forward:
        """`forward`, or that with shares of it computed by others. Its transformer has to be one that
        `loading.chunked_forward` runs, and nothing may be reused in it."""


class Nowhere:
    """Nobody: `denoise` computes everything."""

    def turn(self, component: str) -> None:
        """Nothing follows from it."""

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Never."""
        return None

    def with_others(self, forward: Forward) -> Forward:
        """As it is."""
        return forward


NOWHERE = Nowhere()
