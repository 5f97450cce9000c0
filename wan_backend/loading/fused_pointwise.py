"""What a transformer computes between its matrix products, each operation in one pass over memory: Triton kernels.

A card waits for its memory here, not for its arithmetic: torch's own operations (`pointwise.TorchPointwise`) go over a
chunk of the tokens 3 to 8 times, these go over it once. All arithmetic is in float32 and is rounded once, where the
result is stored. The kernels are compiled in a second or two, once for all sizes, and Triton caches them on the disk.
The matrix products stay the model's own layers, so LoRAs, quantized weights and block offloading work as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from . import devices
from .eight_bit import EightBitLinear
from .kernel_trials import KernelUnavailable, is_of_the_disk
from .pointwise import Pointwise, Rotary, ScaleAndShift, TimeModulation, TokenGate, TorchPointwise

log = logging.getLogger(__name__)

MAX_CHANNELS = 16384
"""The largest number of channels that one program of a kernel can hold."""
TOLERANCE = 1.5
"""How many times the difference to float32 of torch's own operations a kernel's may be."""
CHECKED_TOKENS = 48
Result = TypeVar("Result")


@dataclass(frozen=True)
class FusedSettings:
    """Settings of the fused operations."""

    gelu_in_matrix: bool = True
    """True to have the matrix product of the feed-forward apply its GELU as well, if the layer is a plain one."""


def make_checked(
    device: torch.device, dtype: torch.dtype, channels: int, heads: int, config: FusedSettings | None = None
) -> Pointwise:
    """The kernels for that many channels and heads, compiled, and compared with torch's own operations.

    Raises KernelUnavailable, or what Triton raises.
    """
    if device.type != "cuda":
        raise KernelUnavailable(f"there are no kernels for {device.type}")
    if channels > MAX_CHANNELS or (channels // heads) % 2:
        raise KernelUnavailable(f"there are no kernels for {channels} channels in {heads} heads")
    return _checked(config or FusedSettings(), device, dtype, channels, heads)


def _checked(
    config: FusedSettings, device: torch.device, dtype: torch.dtype, channels: int, heads: int
) -> FusedPointwise:
    failures: list[Exception] = []
    found = FusedPointwise(config, failures.append)
    try:
        _check(found, device, dtype, channels, heads)
    except KernelUnavailable:
        if failures and is_of_the_disk(failures[0]):
            raise failures[0] from None
        raise
    return found


def make_unchecked(
    config: FusedSettings | None = None, on_failure: Callable[[Exception], None] = lambda _error: None
) -> Pointwise:
    """The kernels without a check, for when an earlier one passed. Raises ImportError if there is no Triton.

    `on_failure` is called once, with what was raised, if one of them fails in use.
    """
    return FusedPointwise(config or FusedSettings(), on_failure)


def version() -> str:
    """The version of Triton; raises ImportError."""
    import triton

    return str(triton.__version__)


class FusedPointwise:
    """The operations of `pointwise.Pointwise` by Triton.

    Torch's own take over if a layer isn't one that a kernel knows, and everywhere once a kernel has failed.
    """

    def __init__(self, config: FusedSettings, on_failure: Callable[[Exception], None] = lambda _error: None) -> None:
        from . import triton_kernels  # can be imported only if Triton is installed

        self._add_and_norm, self._norm_and_rotate = triton_kernels.add_and_norm, triton_kernels.norm_and_rotate
        self._config, self._plain, self._on_failure = config, TorchPointwise(), on_failure
        self.broken = False
        """True once a kernel has failed."""

    def prepare(self, rotary: Rotary) -> Rotary:
        """See Pointwise; each is (S, D / 2) in float32."""
        cos, sin = rotary[0][0, :, 0, 0::2], rotary[1][0, :, 0, 1::2]
        return cos.float().contiguous(), sin.float().contiguous()

    def normed(self, norm: Any, hidden: Tensor, by: ScaleAndShift) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            normed = _new_like(hidden)
            self._add_and_norm(
                hidden, None, None, normed, _Modulation(by.times, by.tokens, by.scale, by.shift), None, norm.eps
            )
            return normed

        return self._run(_has_no_weights(norm), fused, lambda: self._plain.normed(norm, hidden, by))

    def rotated(self, norm: Any, states: Tensor, rotary: Any, tokens: slice, heads: int, out: Tensor | None) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            rotated = out
            if rotated is None:
                rotated = states.new_empty(1, states.shape[1], heads, states.shape[2] // heads)
            tables = None if rotary is None else (rotary[0][tokens], rotary[1][tokens])
            self._norm_and_rotate(states, rotated, norm.weight, tables, norm.eps)
            return rotated

        known = type(norm) is nn.RMSNorm and norm.weight is not None and norm.eps is not None
        pairs = None if rotary is None else tuple(each[None, :, None] for each in rotary)
        return self._run(known, fused, lambda: self._plain.rotated(norm, states, pairs, tokens, heads, out))

    def gated(self, hidden: Tensor, work: Tensor, gate: TokenGate, out: Tensor | None) -> Tensor:
        """See Pointwise."""

        def fused() -> Tensor:
            added = _new_like(hidden) if out is None else out
            self._add_and_norm(
                hidden, work, added, None, _Modulation(gate.times, gate.tokens, gate=gate.number), None, 0.0
            )
            return added

        return self._run(True, fused, lambda: self._plain.gated(hidden, work, gate, out))

    def gated_normed(self, norm: Any, hidden: Tensor, work: Tensor, gate: TokenGate) -> tuple[Tensor, Tensor]:
        """See Pointwise."""

        def fused() -> tuple[Tensor, Tensor]:
            added, normed = _new_like(hidden), _new_like(hidden)
            numbers = _Modulation(gate.times, gate.tokens, gate=gate.number)
            self._add_and_norm(hidden, work, added, normed, numbers, (norm.weight, norm.bias), norm.eps)
            return added, normed

        known = isinstance(norm, nn.LayerNorm) and norm.weight is not None and norm.bias is not None
        return self._run(known, fused, lambda: self._plain.gated_normed(norm, hidden, work, gate))

    def added_normed(self, norm: Any, hidden: Tensor, work: Tensor, by: ScaleAndShift) -> tuple[Tensor, Tensor]:
        """See Pointwise."""

        def fused() -> tuple[Tensor, Tensor]:
            added, normed = _new_like(hidden), _new_like(hidden)
            self._add_and_norm(
                hidden, work, added, normed, _Modulation(by.times, by.tokens, by.scale, by.shift), None, norm.eps
            )
            return added, normed

        return self._run(_has_no_weights(norm), fused, lambda: self._plain.added_normed(norm, hidden, work, by))

    def run_feed_forward(self, feed_forward: Any, normed: Tensor) -> Tensor:
        """See Pointwise."""
        first, second = feed_forward.net[0], feed_forward.net[2]  # net[1] is a dropout
        layer: Any = getattr(first, "proj", None)
        is_tanh = getattr(first, "approximate", "") == "tanh"
        if is_tanh and isinstance(second, EightBitLinear) and second.product is not None:
            return second.after_gelu(layer(normed))
        plain = type(layer) is nn.Linear and layer.bias is not None and layer.weight.dtype == normed.dtype

        def fused() -> Tensor:
            wide = torch._addmm_activation(layer.bias, normed[0], layer.weight.t(), use_gelu=True)
            make_checked: Tensor = second(wide.unsqueeze(0))
            return make_checked

        known = plain and self._config.gelu_in_matrix and is_tanh
        return self._run(known, fused, lambda: self._plain.run_feed_forward(feed_forward, normed))

    def _run(self, known: bool, fused: Callable[[], Result], plain: Callable[[], Result]) -> Result:
        if known and not self.broken:
            try:
                return fused()
            except Exception as error:
                if devices.is_out_of_memory(error):
                    raise
                log.warning("a fused kernel failed, so torch's own operations take over: %s", error)
                self.broken = True
                self._on_failure(error)
        return plain()


def _new_like(hidden: Tensor) -> Tensor:
    """A new contiguous tensor of that shape."""
    return torch.empty(hidden.shape, dtype=hidden.dtype, device=hidden.device)


@dataclass(frozen=True)
class _Modulation:
    """The modulation of a chunk, with the numbers in it of its scale, shift and gate; -1 for those it doesn't have."""

    times: TimeModulation
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
        """The row of each token of the chunk, (n); None if there is one row."""
        return None if self.times.which is None else self.times.which[self.tokens].contiguous()


def _has_no_weights(norm: Any) -> bool:
    """True for a layer norm without weight and bias."""
    return isinstance(norm, nn.LayerNorm) and norm.weight is None and norm.bias is None


def _check(found: FusedPointwise, device: torch.device, dtype: torch.dtype, channels: int, heads: int) -> None:
    """Run and so compile each kernel; raises KernelUnavailable if one differs more from float32 than torch's own."""
    for name, run in _cases(device, dtype, channels, heads).items():
        exact = run(TorchPointwise(), torch.float32)
        usual, ours = run(TorchPointwise(), dtype), run(found, dtype)
        for one, two, three in zip(exact, usual, ours, strict=True):
            allowed = TOLERANCE * _distance(two, one) + 1e-5
            if found.broken:
                raise KernelUnavailable(f"{name} fails")
            if not _distance(three, one) <= allowed:  # true for NaN, too
                raise KernelUnavailable(
                    f"{name} differs by {_distance(three, one):.2e}, torch's own by {_distance(two, one):.2e}"
                )


def _distance(one: Tensor, other: Tensor) -> float:
    """The difference of two tensors, relative to the second."""
    return float((one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-20))


Case = Callable[[Pointwise, torch.dtype], tuple[Tensor, ...]]
Norm = TypeVar("Norm", bound=nn.Module)


def _having(norm: Norm, **weights: Tensor) -> Norm:
    """`norm` with these weights.

    They aren't set as attributes: this runs beside the loading of a model, while libraries have the parameters of all
    modules, whosever they are, made without content.
    """
    norm._parameters.update({name: nn.Parameter(weight, requires_grad=False) for name, weight in weights.items()})
    return norm


@torch.no_grad()
def _cases(device: torch.device, dtype: torch.dtype, channels: int, heads: int) -> dict[str, Case]:
    """A call of each operation on random numbers of `dtype`, which float32 gets as well."""
    source = torch.Generator("cpu").manual_seed(0)
    kept: dict[tuple[int, ...], Tensor] = {}

    def drawn(*shape: int, at: int = 0) -> Tensor:
        if (at, *shape) not in kept:
            kept[at, *shape] = torch.randn(shape, generator=source, dtype=torch.float32).to(device, dtype)
        return kept[at, *shape]

    tokens, side = slice(4, CHECKED_TOKENS), channels // heads
    count = CHECKED_TOKENS - 4
    angles = torch.rand(1, CHECKED_TOKENS, 1, side // 2, generator=source, dtype=torch.float32)
    angles = angles.to(device).repeat_interleave(2, -1) * 6
    tables = angles.cos(), angles.sin()
    which = torch.arange(CHECKED_TOKENS, device=device) % 2

    def hidden(of: torch.dtype, at: int = 0) -> Tensor:
        return drawn(1, count, channels, at=at).to(of)

    def times(timed: bool) -> TimeModulation:
        rows = drawn(1, 2 if timed else 1, 6, channels).float()
        return TimeModulation(rows, which if timed else None)

    def layer_norm(of: torch.dtype, own: bool) -> nn.LayerNorm:
        norm = nn.LayerNorm(channels, 1e-6, elementwise_affine=own, device=device, dtype=torch.float32)
        if own:
            return _having(norm, weight=drawn(channels, at=1).float(), bias=drawn(channels, at=2).float())
        return norm

    def rms(of: torch.dtype) -> nn.RMSNorm:
        norm = nn.RMSNorm(channels, 1e-6, device=device, dtype=of)
        return _having(norm, weight=drawn(channels, at=3).to(of))

    def rotated(ops: Pointwise, of: torch.dtype) -> tuple[Tensor, ...]:
        table = ops.prepare(tables)
        plain = ops.rotated(rms(of), hidden(of), None, tokens, heads, None)
        return ops.rotated(rms(of), hidden(of), table, tokens, heads, None), plain

    def timed(run: Callable[[Pointwise, torch.dtype, bool], tuple[Tensor, ...]]) -> Case:
        return lambda ops, of: (*run(ops, of, False), *run(ops, of, True))

    return {
        "norm": timed(
            lambda ops, of, timed: (
                ops.normed(layer_norm(of, False), hidden(of), ScaleAndShift(times(timed), tokens, 1, 0)),
            )
        ),
        "rotary": rotated,
        "gate": timed(
            lambda ops, of, timed: (ops.gated(hidden(of), hidden(of, 4), TokenGate(times(timed), tokens, 5), None),)
        ),
        "gate and norm": timed(
            lambda ops, of, timed: ops.gated_normed(
                layer_norm(of, True), hidden(of), hidden(of, 4), TokenGate(times(timed), tokens, 2)
            )
        ),
        "sum and norm": timed(
            lambda ops, of, timed: ops.added_normed(
                layer_norm(of, False), hidden(of), hidden(of, 4), ScaleAndShift(times(timed), tokens, 4, 3)
            )
        ),
    }
