"""The ways to compute attention that a card may have, from torch's own to those of packages that a person has.

A kernel says what it needs, and makes itself a function of queries, keys and values (1, S, heads, D), which it gives
back as (1, S, heads, D). What isn't here or doesn't fit the card says so by Unfit. Which one is used, is chosen by
`attention.choose`, which measures and checks them all. May import torch, and the packages themselves.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Unfit(Exception):
    """The kernel can't be had here; the message says why."""


@dataclass(frozen=True)
class Kernel:
    """One way to compute attention."""

    name: str
    make: Callable[[], Attend]
    """Raises Unfit, or whatever importing its package raises."""
    packages: tuple[str, ...] = ()
    """By whose versions what was found of it goes."""
    error: float = 4e-3
    """How far it may be from float32, relative, whatever torch's own is: 2.3e-3 in bfloat16."""
    least: tuple[int, int] = (0, 0)
    """The least compute capability of the card."""
    before: tuple[int, int] = (99, 0)
    """The first capability that it's not for."""
    only_long: bool = False
    """For the tokens' own attention alone: it takes longer to get ready than a prompt is worth."""

    def version(self) -> str:
        """Of its packages, those that are here; empty for torch's own."""
        return ", ".join(f"{name} {found}" for name in self.packages if (found := _version(name)))

    def fits(self, capability: tuple[int, int]) -> bool:
        """Whether it may be tried on a card of that compute capability."""
        return self.least <= capability < self.before and (not self.packages or bool(self.version()))


def sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's own choice for this card and these shapes."""
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return out.transpose(1, 2)


def _named(backend: SDPBackend) -> Attend:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return sdpa(query, key, value)

    return attend


@functools.cache
def _flash_3() -> Attend:
    """FlashAttention-3's forward, as an operator of torch's, so that a compiler goes around it and not into it."""
    forward = _first_of(("fa3_fwd_interface", "flash_attn_func"), ("flash_attn_interface", "flash_attn_func"))

    @torch.library.custom_op("wan_vse::flash_3", mutates_args=(), device_types="cuda")
    def flash_3(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        made = forward(query, key, value)
        out: Tensor = made[0] if isinstance(made, tuple) else made
        return out

    @flash_3.register_fake
    def _shape(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return torch.empty_like(query)

    attend: Attend = flash_3
    return attend


@functools.cache
def _flash_4() -> Attend:
    forward = _first_of(("flash_attn.cute", "flash_attn_func"))

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        made = forward(query, key, value)
        out: Tensor = made[0] if isinstance(made, tuple) else made
        return out

    return attend


@functools.cache
def _sage_2() -> Attend:
    version = _version("sageattention") or "0"
    if int(version.split(".")[0]) < 2:
        raise Unfit(f"sageattention {version} is slower than torch's own; 2 or newer is wanted")
    forward = _first_of(("sageattention", "sageattn"))

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out: Tensor = forward(query, key, value, tensor_layout="NHD", is_causal=False)
        return out

    return attend


def _first_of(*places: tuple[str, str]) -> Callable[..., Any]:
    """The function of the first module that can be imported. Raises Unfit."""
    reasons = []
    for module, name in places:
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            reasons.append(f"{module}: {error}")
        else:
            return found
    raise Unfit("; ".join(reasons))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


SDPA = Kernel("torch", lambda: sdpa)
KERNELS = (
    SDPA,
    Kernel("torch, cuDNN", lambda: _named(SDPBackend.CUDNN_ATTENTION), least=(8, 0)),
    Kernel("torch, FlashAttention 2", lambda: _named(SDPBackend.FLASH_ATTENTION), least=(8, 0)),
    Kernel("FlashAttention 3", _flash_3, ("fa3-fwd", "flash-attn-3"), least=(9, 0), before=(10, 0)),
    Kernel("FlashAttention 4", _flash_4, ("flash-attn-4",), least=(9, 0)),
    # It rounds to 8 bit, so it is only where a person has put it.
    Kernel("SageAttention 2", _sage_2, ("sageattention",), error=5e-2, least=(8, 0), only_long=True),
)
"""All that are known, torch's own first."""
