"""Whether weights are numbers: looked at once, when they were loaded.

A training that diverged leaves NaN, a conversion that ran over leaves infinities; one of either makes every take black.
What is looked at is the largest and the smallest number, which is as quick as the memory is read and takes none of it.
Of weights that stay packed, it is what they are multiplied by.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_FP8_NONE = {torch.float8_e4m3fn: 0x7F, torch.float8_e5m2: 0x7C}
"""Of the bits without the sign: those from here on are no numbers."""
_SCALES: dict[str, tuple[int, tuple[int, ...]]] = {
    "Q4_0": (18, (0,)), "Q4_1": (20, (0, 2)), "Q5_0": (22, (0,)), "Q5_1": (24, (0, 2)), "Q8_0": (34, (0,)),
    "Q2_K": (84, (80, 82)), "Q3_K": (110, (108,)), "Q4_K": (144, (0, 2)), "Q5_K": (176, (0, 2)), "Q6_K": (210, (208,)),
    "IQ4_NL": (18, (0,)), "IQ4_XS": (136, (0,)),
}  # fmt: skip
"""Of GGUF's blocks: how many bytes one has, and where in it its numbers of 16 bit are."""


def are_numbers(tensor: torch.Tensor) -> bool:
    """False if one of the tensor's numbers is NaN or infinite."""
    if not tensor.numel() or tensor.is_meta:
        return True
    kind = getattr(getattr(tensor, "quant_type", None), "name", "")
    plain = tensor.detach().as_subclass(torch.Tensor)
    if kind in _SCALES:
        return _packed(plain, *_SCALES[kind])
    if plain.dtype in _FP8_NONE:
        least = _FP8_NONE[plain.dtype]
        bits = plain.contiguous()
        # As signed bytes the largest is the largest that is positive, as unsigned ones that is negative.
        positive, negative = bits.view(torch.int8).aminmax().max, bits.view(torch.uint8).aminmax().max
        return int(positive) < least and int(negative) < least + 0x80
    if not plain.is_floating_point():
        return True
    if plain.device.type != "cpu":  # Apple's lacks what follows; a card is quick anyhow
        return bool(torch.isfinite(plain).all())
    smallest, largest = plain.aminmax()  # NaN in it makes both NaN
    return bool(torch.isfinite(torch.stack((smallest, largest)).float()).all())


def first_that_is_none(named: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None if all are numbers."""
    return next((name for name, tensor in named if not are_numbers(tensor)), None)


def broken_weight(module: nn.Module) -> str | None:
    """The name of the first weight, scale or other tensor of `module` that holds NaN or infinity."""
    return first_that_is_none((*module.named_parameters(), *module.named_buffers()))


def _packed(content: torch.Tensor, size: int, places: tuple[int, ...]) -> bool:
    """False if one of the numbers of GGUF's blocks isn't finite, by the numbers that each is multiplied by."""
    blocks = content.contiguous().view(torch.uint8).reshape(-1, size)
    halves = [blocks[:, place : place + 2].contiguous().view(torch.float16) for place in places]
    return all(are_numbers(each) for each in halves)
