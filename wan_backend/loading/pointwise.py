"""What a transformer computes between its matrix products, in torch's own operations.

This is the reference for faster kernels: each operation is what diffusers' own block computes, in its order and bit for
bit. All of them take a chunk of the tokens, (1, n, C).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of all tokens, each (1, S, 1, D) with every number twice, as diffusers' rotary embedding is."""


@dataclass(frozen=True)
class TimeModulation:
    """Shifts, scales and gates that follow from the time of a step: `rows` (1, K, N, C) for K different times.

    `which` (S) is the row of each token; None if there is one row for all.
    """

    rows: Tensor
    which: Tensor | None = None

    def shifts(self, table: Tensor) -> TimeModulation:
        """These rows with a block's own table (1, N, C) added, in float32."""
        return TimeModulation(table.unsqueeze(1) + self.rows.float(), self.which)

    def of(self, tokens: slice, number: int) -> Tensor:
        """The shift, scale or gate of that number, (1, 1 or tokens, C)."""
        column = self.rows[:, :, number]
        return column if self.which is None else column[:, self.which[tokens]]


@dataclass(frozen=True)
class ScaleAndShift:
    """The scale and the shift of a chunk, by their numbers in a block's modulation."""

    times: TimeModulation
    tokens: slice
    scale: int
    shift: int

    def on(self, normed: Tensor) -> Tensor:
        """`normed`, a float32 chunk, scaled and shifted."""
        return normed * (1 + self.times.of(self.tokens, self.scale)) + self.times.of(self.tokens, self.shift)


@dataclass(frozen=True)
class TokenGate:
    """The gate of a chunk, by its number in a block's modulation: the weight of a branch before it is added."""

    times: TimeModulation
    tokens: slice
    number: int


class Pointwise(Protocol):
    """The operations of a chunked forward. One that is given `out` may write to it and return it."""

    def prepare(self, rotary: Rotary) -> Any:
        """The rotary tables in the form that `rotated` takes; asked for once a forward."""

    def normed(self, norm: Any, hidden: Tensor, by: ScaleAndShift) -> Tensor:
        """The chunk normalized, scaled and shifted, in its own number format."""

    def rotated(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """Queries or keys (1, n, heads, D), normalized over all heads and rotated, unless `rotary` is None."""

    def gated(self, hidden: Tensor, work: Tensor, gate: TokenGate, out: Tensor | None) -> Tensor:
        """The chunk with the gated `work` added."""

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: TokenGate) -> tuple[Tensor, Tensor]:
        """What `gated` returns, and that normalized."""

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: ScaleAndShift) -> tuple[Tensor, Tensor]:
        """The chunk with `work` added, and what `normed` makes of that."""

    def run_feed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """The feed-forward's output for a normalized chunk."""


class TorchPointwise:
    """Torch's own operations one after another; see `Pointwise` for each."""

    def prepare(self, rotary: Rotary) -> Rotary:
        """See Pointwise; each number is kept once."""
        return rotary[0][..., 0::2], rotary[1][..., 1::2]

    def normed(self, norm: Any, hidden: Tensor, by: ScaleAndShift) -> Tensor:
        """See Pointwise."""
        return by.on(norm(hidden.float())).type_as(hidden)

    def rotated(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """See Pointwise."""
        normed: Tensor = norm(states)
        normed = normed.view(1, normed.shape[1], heads, -1)
        if rotary is None:
            return normed
        cos, sin = (each[:, tokens] for each in rotary)
        one, two = normed[..., 0::2], normed[..., 1::2]
        rotated = torch.empty_like(normed) if out is None else out
        rotated[..., 0::2] = one * cos - two * sin
        rotated[..., 1::2] = one * sin + two * cos
        return rotated

    def gated(self, hidden: Tensor, work: Tensor, gate: TokenGate, out: Tensor | None) -> Tensor:
        """See Pointwise."""
        # diffusers converts only the feed-forward's output before it multiplies by float32, which gives the same bits.
        return (hidden.float() + work.float() * gate.times.of(gate.tokens, gate.number)).type_as(hidden)

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: TokenGate) -> tuple[Tensor, Tensor]:
        """See Pointwise."""
        hidden = self.gated(hidden, work, gate, None)
        return hidden, norm(hidden.float()).type_as(hidden)

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: ScaleAndShift) -> tuple[Tensor, Tensor]:
        """See Pointwise."""
        hidden = hidden + work
        return hidden, self.normed(norm, hidden, by)

    def run_feed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """See Pointwise."""
        made: Tensor = feed_forward(normed)
        return made
