"""The kernels that may compute attention: torch's own, and those of packages that a person has installed.

Each is a function of queries, keys and values (1, S, heads, D) that returns (1, S, heads, D). `attention.choose`
measures and checks those that fit the card. To add one, write a function that imports its package and returns such a
function, or raises KernelUnavailable, and name it in ATTENTION_KERNELS.
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

from .kernel_trials import KernelUnavailable

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From queries, keys and values (1, S, heads, D) to (1, S, heads, D)."""


@dataclass(frozen=True)
class AttentionKernel:
    """One way to compute attention."""

    name: str
    make: Callable[[], Attend]
    """Imports what the kernel needs; raises KernelUnavailable, or whatever the package raises."""
    packages: tuple[str, ...] = ()
    """The packages that it may come from; a result holds for their versions."""
    max_error: float = 4e-3
    """The relative difference to float32 that it may have; torch's own has 2.3e-3 in bfloat16."""
    min_capability: tuple[int, int] = (0, 0)
    """The lowest compute capability of a card that it runs on."""
    below_capability: tuple[int, int] = (99, 0)
    """The first capability that it doesn't run on any more."""
    only_long_keys: bool = False
    """True if it is for self-attention only, since its overhead is too large for the keys of a prompt."""

    def version(self) -> str:
        """The versions of those of its packages that are installed; empty for torch's own."""
        return ", ".join(f"{name} {found}" for name in self.packages if (found := _version(name)))

    def fits(self, capability: tuple[int, int]) -> bool:
        """Whether it may be tried on a card of that compute capability."""
        return self.min_capability <= capability < self.below_capability and (not self.packages or bool(self.version()))


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
    """FlashAttention 3's forward as a custom operator of torch, which a compiler leaves alone."""
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
        raise KernelUnavailable(f"sageattention {version} is slower than torch's own; it must be 2 or newer")
    forward = _first_of(("sageattention", "sageattn"))

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out: Tensor = forward(query, key, value, tensor_layout="NHD", is_causal=False)
        return out

    return attend


def _first_of(*places: tuple[str, str]) -> Callable[..., Any]:
    """The function of the first module that can be imported; raises KernelUnavailable."""
    reasons = []
    for module, name in places:
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            reasons.append(f"{module}: {error}")
        else:
            return found
    raise KernelUnavailable("; ".join(reasons))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


SDPA = AttentionKernel("torch", lambda: sdpa)
ATTENTION_KERNELS = (
    SDPA,
    AttentionKernel("torch, cuDNN", lambda: _named(SDPBackend.CUDNN_ATTENTION), min_capability=(8, 0)),
    AttentionKernel("torch, FlashAttention 2", lambda: _named(SDPBackend.FLASH_ATTENTION), min_capability=(8, 0)),
    AttentionKernel(
        "FlashAttention 3", _flash_3, ("fa3-fwd", "flash-attn-3"), min_capability=(9, 0), below_capability=(10, 0)
    ),
    AttentionKernel("FlashAttention 4", _flash_4, ("flash-attn-4",), min_capability=(9, 0)),
    # It rounds to 8 bit, so it is used only if a person has installed it.
    AttentionKernel(
        "SageAttention 2", _sage_2, ("sageattention",), max_error=5e-2, min_capability=(8, 0), only_long_keys=True
    ),
)
"""All kernels for attention; torch's own is the first."""
