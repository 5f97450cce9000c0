"""What a transformer does between its matrices, each in one pass over its memory: kernels written in Triton.

A card waits for its memory here, not for its arithmetic: torch's own operations (`pointwise.Plain`) go over a chunk
of the tokens 3 to 8 times, these go once. All arithmetic is in float32, rounded once where the result is kept. They
are compiled in a second or two, once for all sizes, and kept on the disk by Triton itself. The matrices stay the
model's own layers, called as they are, so LoRAs, quantised weights and blocks that visit the card work as before.
May import torch, and triton, which is not everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from . import devices
from .pointwise import Gate, Modulation, Plain, Pointwise, Rotary, Times

log = logging.getLogger(__name__)

LARGEST_ROW = 16384
"""Channels that one program holds at once."""
TOLERANCE = 1.5
"""A kernel may be so much further from float32 than torch's own operations are: both round to the same format."""
CHECKED_TOKENS = 48
Made = TypeVar("Made")


@dataclass(frozen=True)
class Fused:
    """How the kernels are to be used."""

    gelu_in_matrix: bool = True
    """Let the matrix library apply the feed-forward's GELU, where the layer is a plain one."""


class Unfit(Exception):
    """The kernels can't be had here; the message says why."""


def made(device: torch.device, dtype: torch.dtype, channels: int, heads: int, config: Fused | None = None) -> Pointwise:
    """The kernels for hidden states (…, channels) of that format, compiled and compared with torch's own operations.

    Raises Unfit, or what Triton raises.
    """
    if device.type != "cuda":
        raise Unfit(f"there are none for {device.type}")
    if channels > LARGEST_ROW or (channels // heads) % 2:
        raise Unfit(f"there are none for {channels} channels in {heads} heads")
    found = FusedPointwise(config or Fused())
    _check(found, device, dtype, channels, heads)
    return found


def unchecked(config: Fused | None = None, on_failure: Callable[[str], None] = lambda _why: None) -> Pointwise:
    """The kernels, for whom a trial has passed before. Raises ImportError where Triton isn't here.

    `on_failure` is told, once, if one fails in use.
    """
    return FusedPointwise(config or Fused(), on_failure)


def version() -> str:
    """Of Triton. Raises ImportError."""
    import triton

    return str(triton.__version__)


class FusedPointwise:
    """See pointwise.Pointwise. What a kernel doesn't know, torch's own operations do; so they do all from when one
    fails.
    """

    def __init__(self, config: Fused, on_failure: Callable[[str], None] = lambda _why: None) -> None:
        from . import triton_kernels  # only where Triton is

        self._row, self._turn = triton_kernels.row, triton_kernels.turn
        self._config, self._plain, self._on_failure = config, Plain(), on_failure
        self.broken = False
        """True from when a kernel failed."""

    def prepare(self, rotary: Rotary) -> Rotary:
        """Each (S, D / 2), float32, without what is there twice."""
        cos, sin = rotary[0][0, :, 0, 0::2], rotary[1][0, :, 0, 1::2]
        return cos.float().contiguous(), sin.float().contiguous()

    def normed(self, norm: Any, hidden: Tensor, by: Modulation) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            normed = _like(hidden)
            self._row(hidden, None, None, normed, _Numbers(by.times, by.tokens, by.scale, by.shift), None, norm.eps)
            return normed

        return self._done(_is_bare(norm), fused, lambda: self._plain.normed(norm, hidden, by))

    def turned(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            turned = out
            if turned is None:
                turned = states.new_empty(1, states.shape[1], heads, states.shape[2] // heads)
            tables = None if rotary is None else (rotary[0][tokens], rotary[1][tokens])
            self._turn(states, turned, norm.weight, tables, norm.eps)
            return turned

        known = type(norm) is nn.RMSNorm and norm.weight is not None and norm.eps is not None
        pairs = None if rotary is None else tuple(each[None, :, None] for each in rotary)
        return self._done(known, fused, lambda: self._plain.turned(norm, states, pairs, tokens, heads, out))

    def gated(self, hidden: Tensor, work: Tensor, gate: Gate, out: Tensor | None) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            added = _like(hidden) if out is None else out
            self._row(hidden, work, added, None, _Numbers(gate.times, gate.tokens, gate=gate.number), None, 0.0)
            return added

        return self._done(True, fused, lambda: self._plain.gated(hidden, work, gate, out))

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: Gate) -> tuple[Tensor, Tensor]:
        """See Pointwise."""

        def fused() -> tuple[Tensor, Tensor]:
            added, normed = _like(hidden), _like(hidden)
            numbers = _Numbers(gate.times, gate.tokens, gate=gate.number)
            self._row(hidden, work, added, normed, numbers, (norm.weight, norm.bias), norm.eps)
            return added, normed

        known = isinstance(norm, nn.LayerNorm) and norm.weight is not None and norm.bias is not None
        return self._done(known, fused, lambda: self._plain.gated_normed(norm, hidden, work, gate))

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: Modulation) -> tuple[Tensor, Tensor]:
        """See Pointwise."""

        def fused() -> tuple[Tensor, Tensor]:
            added, normed = _like(hidden), _like(hidden)
            self._row(hidden, work, added, normed, _Numbers(by.times, by.tokens, by.scale, by.shift), None, norm.eps)
            return added, normed

        return self._done(_is_bare(norm), fused, lambda: self._plain.added_normed(norm, hidden, work, by))

    def fed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """See Pointwise."""
        first = feed_forward.net[0]
        layer: Any = getattr(first, "proj", None)
        plain = type(layer) is nn.Linear and layer.bias is not None and layer.weight.dtype == normed.dtype

        def fused() -> Tensor:
            wide = torch._addmm_activation(layer.bias, normed[0], layer.weight.t(), use_gelu=True)
            made: Tensor = feed_forward.net[2](wide.unsqueeze(0))  # what is between them drops nothing while it runs
            return made

        known = plain and self._config.gelu_in_matrix and getattr(first, "approximate", "") == "tanh"
        return self._done(known, fused, lambda: self._plain.fed_forward(feed_forward, normed))

    def _done(self, known: bool, fused: Callable[[], Made], plain: Callable[[], Made]) -> Made:
        if known and not self.broken:
            try:
                return fused()
            except Exception as error:
                if devices.is_out_of_memory(error):
                    raise
                log.warning("a fused kernel failed, so torch's own operations go on: %s", error)
                self.broken = True
                self._on_failure(f"in use: {type(error).__name__}: {error}")
        return plain()


def _like(hidden: Tensor) -> Tensor:
    """A new chunk in one piece."""
    return torch.empty(hidden.shape, dtype=hidden.dtype, device=hidden.device)


@dataclass(frozen=True)
class _Numbers:
    """The times that a chunk is worked on by: their rows, and which numbers of these."""

    times: Times
    tokens: slice
    scale: int = -1
    shift: int = -1
    gate: int = -1

    @property
    def rows(self) -> Tensor:
        """(1, K, N, C), float32."""
        return self.times.rows.float().contiguous()

    @property
    def which(self) -> Tensor | None:
        """(n): the row of each token of the chunk."""
        return None if self.times.which is None else self.times.which[self.tokens].contiguous()


def _is_bare(norm: Any) -> bool:
    """True for a layer norm without numbers of its own."""
    return isinstance(norm, nn.LayerNorm) and norm.weight is None and norm.bias is None


def _check(found: FusedPointwise, device: torch.device, dtype: torch.dtype, channels: int, heads: int) -> None:
    """Raise Unfit where a kernel is further from float32 than torch's own operations; also compiles them all."""
    for name, run in _cases(device, dtype, channels, heads).items():
        exact = run(Plain(), torch.float32)
        usual, ours = run(Plain(), dtype), run(found, dtype)
        for one, two, three in zip(exact, usual, ours, strict=True):
            allowed = TOLERANCE * _distance(two, one) + 1e-5
            if found.broken:
                raise Unfit(f"{name} fails")
            if not _distance(three, one) <= allowed:  # also where it is no number
                raise Unfit(f"{name} differs by {_distance(three, one):.2e}, torch's own by {_distance(two, one):.2e}")


def _distance(one: Tensor, other: Tensor) -> float:
    """Of two tensors, relative to the second."""
    return float((one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-20))


Case = Callable[[Pointwise, torch.dtype], tuple[Tensor, ...]]


@torch.no_grad()
def _cases(device: torch.device, dtype: torch.dtype, channels: int, heads: int) -> dict[str, Case]:
    """A call of everything on random numbers, for any number format: those of `dtype`, widened, in float32."""
    source = torch.Generator("cpu").manual_seed(0)
    kept: dict[tuple[int, ...], Tensor] = {}

    def drawn(*shape: int, at: int = 0) -> Tensor:
        if (at, *shape) not in kept:
            kept[at, *shape] = torch.randn(shape, generator=source).to(device, dtype)
        return kept[at, *shape]

    tokens, side = slice(4, CHECKED_TOKENS), channels // heads
    count = CHECKED_TOKENS - 4
    angles = torch.rand(1, CHECKED_TOKENS, 1, side // 2, generator=source).to(device).repeat_interleave(2, -1) * 6
    tables = angles.cos(), angles.sin()
    which = torch.arange(CHECKED_TOKENS, device=device) % 2

    def hidden(of: torch.dtype, at: int = 0) -> Tensor:
        return drawn(1, count, channels, at=at).to(of)

    def times(timed: bool) -> Times:
        rows = drawn(1, 2 if timed else 1, 6, channels).float()
        return Times(rows, which if timed else None)

    def layer_norm(of: torch.dtype, own: bool) -> nn.LayerNorm:
        norm = nn.LayerNorm(channels, 1e-6, elementwise_affine=own, device=device, dtype=torch.float32)
        if own:
            norm.weight.data, norm.bias.data = drawn(channels, at=1).float(), drawn(channels, at=2).float()
        return norm.requires_grad_(False)

    def rms(of: torch.dtype) -> nn.RMSNorm:
        norm = nn.RMSNorm(channels, 1e-6, device=device, dtype=of)
        norm.weight.data = drawn(channels, at=3).to(of)
        return norm.requires_grad_(False)

    def turned(ops: Pointwise, of: torch.dtype) -> tuple[Tensor, ...]:
        table = ops.prepare(tables)
        plain = ops.turned(rms(of), hidden(of), None, tokens, heads, None)
        return ops.turned(rms(of), hidden(of), table, tokens, heads, None), plain

    def timed(run: Callable[[Pointwise, torch.dtype, bool], tuple[Tensor, ...]]) -> Case:
        return lambda ops, of: (*run(ops, of, False), *run(ops, of, True))

    return {
        "norm": timed(
            lambda ops, of, timed: (
                ops.normed(layer_norm(of, False), hidden(of), Modulation(times(timed), tokens, 1, 0)),
            )
        ),
        "rotary": turned,
        "gate": timed(
            lambda ops, of, timed: (ops.gated(hidden(of), hidden(of, 4), Gate(times(timed), tokens, 5), None),)
        ),
        "gate and norm": timed(
            lambda ops, of, timed: ops.gated_normed(
                layer_norm(of, True), hidden(of), hidden(of, 4), Gate(times(timed), tokens, 2)
            )
        ),
        "sum and norm": timed(
            lambda ops, of, timed: ops.added_normed(
                layer_norm(of, False), hidden(of), hidden(of, 4), Modulation(times(timed), tokens, 4, 3)
            )
        ),
    }
