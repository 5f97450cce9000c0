"""One forward pass on several cards: each has a share of the tokens, and within self-attention a share of the heads.

Self-attention alone needs all tokens together, and it computes each head by itself. So before it the cards exchange
queries, keys and values, after which each has all tokens of its own heads, and after it they exchange the results back
(Ulysses: Jacobs et al. 2023, arXiv 2309.14509). Everything else is computed for the own tokens. Shares needn't be
alike: every number of tokens and heads can be split, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor


class Exchange(Protocol):
    """The cards that compute a forward pass together, as one of them sees them.

    All of them exchange the same things in the same order. On a card, the stream that is set waits for what comes, and
    one thing comes after the other.
    """

    @property
    def rank(self) -> int:
        """Which of them this one is, counted from 0."""

    @property
    def size(self) -> int:
        """How many they are."""

    def __call__(self, output: Tensor, sent: Tensor, output_sizes: list[int], sent_sizes: list[int]) -> None:
        """Give each card its part of `sent` and have theirs in `output`, in their order; both are flat.

        The sizes of the parts, counted in numbers, may be 0.
        """

    def gather(self, output: Tensor, own: Tensor) -> None:
        """Have in `output` what each card has as `own`, in their order; all of them are as large, and flat."""


def shares(count: int, parts: int) -> list[slice]:
    """So many things in consecutive parts, the first of them larger by one where it doesn't divide."""
    each, more = divmod(count, parts)
    starts = [part * each + min(part, more) for part in range(parts + 1)]
    return [slice(*edges) for edges in pairwise(starts)]


class TokenSplit:
    """The shares of the tokens of one forward pass, and what the cards exchange in it."""

    def __init__(self, exchange: Exchange, tokens: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        """`meanwhile()` is called in each block once its tokens are there by heads: the longest time before the next
        exchange begins.
        """
        self._exchange, self._count, self.meanwhile = exchange, tokens, meanwhile
        self._tokens = [_length(each) for each in shares(tokens, exchange.size)]
        self.own = shares(tokens, exchange.size)[exchange.rank]
        """Which tokens this card has."""

    @property
    def leads(self) -> bool:
        """Whether this card gets what all cards made."""
        return self._exchange.rank == 0

    def by_heads(self, states: Tensor) -> Tensor:
        """The own tokens (1, own, heads, D) with all heads to all tokens (1, tokens, own heads, D)."""
        tokens, heads, channels = states.shape[1:]
        owners = shares(heads, self._exchange.size)
        mine = _length(owners[self._exchange.rank])
        sent_sizes = [tokens * _length(each) * channels for each in owners]
        sent = states.new_empty(states.numel())
        for owner, part in zip(owners, torch.split(sent, sent_sizes), strict=True):
            if part.numel():
                part.view(tokens, -1, channels).copy_(states[0, :, owner])
        made = states.new_empty(1, self._count, mine, channels)
        self._exchange(made.view(-1), sent, [each * mine * channels for each in self._tokens], sent_sizes)
        return made

    def by_tokens(self, states: Tensor, heads: int) -> Tensor:
        """What `by_heads` returns back to the own tokens with all heads, of which there are so many."""
        mine, channels = states.shape[2:]
        own = _length(self.own)
        owners = shares(heads, self._exchange.size)
        sizes = [own * _length(each) * channels for each in owners]
        came = states.new_empty(sum(sizes))
        self._exchange(came, states.reshape(-1), sizes, [each * mine * channels for each in self._tokens])
        made = states.new_empty(1, own, heads, channels)
        for owner, part in zip(owners, torch.split(came, sizes), strict=True):
            if part.numel():
                made[0, :, owner].copy_(part.view(own, -1, channels))
        return made

    def gathered(self, states: Tensor) -> Tensor:
        """Of each card its own tokens (1, own, C): all tokens (1, tokens, C) on the one that leads, none elsewhere."""
        channels, ranks = states.shape[2], self._exchange.size
        made = states.new_empty(1, self._count if self.leads else 0, channels)
        sizes = [each * channels if self.leads else 0 for each in self._tokens]
        self._exchange(made.view(-1), states.reshape(-1), sizes, [states.numel(), *[0] * (ranks - 1)])
        return made


def _length(part: slice) -> int:
    return int(part.stop - part.start)
