"""The negative prompt's half of guidance, computed elsewhere while this process computes the prompt's.

The two halves of a step start from the same latents and meet at its end only, so a second card can make one of them:
what goes there and back is small beside a forward pass. `denoise` asks; where nobody answers, it computes the half
itself. So whoever answers may come late or die, and the take is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

Answer = Callable[[], Tensor | None]
"""Waits for the prediction; None if there will be none. Raises Stopped."""


class Elsewhere(Protocol):
    """Whoever may compute the negative prompt's half."""

    def turn(self, component: str) -> None:
        """The transformer of that name makes the next steps."""

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Have the prediction computed for the transformer's `inputs`; None if it can't be, now."""


class Nowhere:
    """Nobody: `denoise` computes both halves."""

    def turn(self, component: str) -> None:
        """Nothing follows from it."""

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Never."""
        return None


NOWHERE = Nowhere()
