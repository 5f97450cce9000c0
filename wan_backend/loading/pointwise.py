"""What a transformer does between its matrices, in torch's own operations: the reference that faster ones are held to.

Each is what diffusers' own block computes, in its order and to the bit. All take a chunk of the tokens: (1, n, C).
May import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of all tokens, each (1, S, 1, D), every number twice, as diffusers' rotary embedding gives them."""


@dataclass(frozen=True)
class Times:
    """What the time of a step does to the tokens of a block: `rows` (1, K, N, C) for K different times.

    `which` (S) says whose row a token has; None where all have the one there is. N numbers are shifts, scales, gates.
    """

    rows: Tensor
    which: Tensor | None = None

    def shifts(self, table: Tensor) -> Times:
        """With a block's own table (1, N, C) added, in float32."""
        return Times(table.unsqueeze(1) + self.rows.float(), self.which)

    def of(self, tokens: slice, number: int) -> Tensor:
        """(1, 1 or tokens, C): the shift, scale or gate of that number."""
        column = self.rows[:, :, number]
        return column if self.which is None else column[:, self.which[tokens]]


@dataclass(frozen=True)
class Modulation:
    """Which of a block's times a chunk is scaled and shifted by."""

    times: Times
    tokens: slice
    scale: int
    shift: int

    def on(self, normed: Tensor) -> Tensor:
        """The float32 chunk, scaled and shifted."""
        return normed * (1 + self.times.of(self.tokens, self.scale)) + self.times.of(self.tokens, self.shift)


@dataclass(frozen=True)
class Gate:
    """Which of a block's times work is weighted by before it's added."""

    times: Times
    tokens: slice
    number: int


class Pointwise(Protocol):
    """What a lean forward asks for. `out`, where given, may be written to and returned in place of a new tensor."""

    def prepare(self, rotary: Rotary) -> Any:
        """The rotary tables in the form that `turned` takes; once a forward."""

    def normed(self, norm: Any, hidden: Tensor, by: Modulation) -> Tensor:
        """The chunk, normed, scaled and shifted; in its own number format."""

    def turned(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """Queries or keys (1, n, heads, D): normed over all heads and, unless `rotary` is None, turned by place."""

    def gated(self, hidden: Tensor, work: Tensor, gate: Gate, out: Tensor | None) -> Tensor:
        """The chunk with `work`, weighted, added."""

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: Gate) -> tuple[Tensor, Tensor]:
        """`gated`, and that normed."""

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: Modulation) -> tuple[Tensor, Tensor]:
        """The chunk with `work` added, and that `normed`."""

    def fed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """What the feed-forward makes of a normed chunk."""


class Plain:
    """Torch's own operations, one after another."""

    def prepare(self, rotary: Rotary) -> Rotary:
        """As they are, but for what is there twice."""
        return rotary[0][..., 0::2], rotary[1][..., 1::2]

    def normed(self, norm: Any, hidden: Tensor, by: Modulation) -> Tensor:
        """See Pointwise."""
        return by.on(norm(hidden.float())).type_as(hidden)

    def turned(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """See Pointwise."""
        normed: Tensor = norm(states)
        normed = normed.view(1, normed.shape[1], heads, -1)
        if rotary is None:
            return normed
        cos, sin = (each[:, tokens] for each in rotary)
        one, two = normed[..., 0::2], normed[..., 1::2]
        turned = torch.empty_like(normed) if out is None else out
        turned[..., 0::2] = one * cos - two * sin
        turned[..., 1::2] = one * sin + two * cos
        return turned

    def gated(self, hidden: Tensor, work: Tensor, gate: Gate, out: Tensor | None) -> Tensor:
        """See Pointwise."""
        # diffusers multiplies attention's work in its own format by float32, the feed-forward's in float32: the same.
        return (hidden.float() + work.float() * gate.times.of(gate.tokens, gate.number)).type_as(hidden)

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: Gate) -> tuple[Tensor, Tensor]:
        """See Pointwise."""
        hidden = self.gated(hidden, work, gate, None)
        return hidden, norm(hidden.float()).type_as(hidden)

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: Modulation) -> tuple[Tensor, Tensor]:
        """See Pointwise."""
        hidden = hidden + work
        return hidden, self.normed(norm, hidden, by)

    def fed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """See Pointwise."""
        made: Tensor = feed_forward(normed)
        return made
