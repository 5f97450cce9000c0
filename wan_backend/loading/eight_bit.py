"""Linear layers whose weights stay in 8 bit in memory, and transformers made of them.

Weights alone are in 8 bit: for each product they are made anew in the number format of what they multiply, so this
runs on every card. Of the two formats that are found, fp8 is for weights that a file has in it; whatever is rounded
here becomes int8 with a scale a row, which on trained weights errs by less than a third as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

EIGHT_BIT_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.int8)
STACKS = ("blocks", "vace_blocks")
"""What of a transformer is in 8 bit: nearly all of its weights. The ends see more of the noise and of the time."""
LEVELS = 127


class EightBitLinear(nn.Linear):
    """A linear layer with its weight in 8 bit, of the shape (out, in), and its bias in the compute format.

    `weight` is a parameter, so that what counts, moves, streams or wraps the parameters of layers meets nothing new.
    """

    weight_scale: torch.Tensor
    """float32, (1, 1) or (out, 1): what the numbers of the weight are multiplied by."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: nn.Parameter | None) -> None:
        """Raises ValueError if these are not such a layer's."""
        rows, columns = weight.shape
        if weight.dtype not in EIGHT_BIT_DTYPES or tuple(scale.shape) not in {(1, 1), (rows, 1)}:
            raise ValueError(f"{weight.dtype} {tuple(weight.shape)} scaled by {tuple(scale.shape)} is no 8 bit weight")
        super().__init__(columns, rows, bias=False, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("weight_scale", scale.float())
        self.register_parameter("bias", bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out), in the number format of what comes in."""
        return nn.functional.linear(input, self.weight_in(input.dtype), self.bias)

    def weight_in(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight as numbers to compute with, each rounded once: as if it had been loaded in `dtype`.

        The scale goes to the weight and not to the product: a video has more tokens than the weight has rows, and
        the product would be rounded twice.
        """
        return self.weight.to(dtype).mul_(self.weight_scale)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> EightBitLinear:
        """Moves all; changes the number format of the bias alone."""
        kept = (self.weight, self.weight_scale)

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            made = fn(tensor)
            if made.dtype != tensor.dtype and any(tensor is one for one in kept):
                return tensor.to(made.device)
            return made

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


def layers(transformer: nn.Module) -> Iterator[str]:
    """The names of the layers that can be in 8 bit and are not in any smaller form yet."""
    for name, module in transformer.named_modules():
        if type(module) is nn.Linear and name.split(".")[0] in STACKS:
            yield name


def is_layers_weight(name: str, shape: tuple[int, ...]) -> bool:
    """True for the parameters that are the weights of `layers`, known without the transformer."""
    return len(shape) == 2 and name.endswith(".weight") and name.split(".")[0] in STACKS


def rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 (out, in) and float32 (out, 1) for a weight (out, in); each row's largest number is kept exactly."""
    wide = weight.float()
    most = wide.abs().amax(dim=1, keepdim=True)
    scale = torch.where(most == 0, 1.0, most / LEVELS)
    return (wide / scale).round_().to(torch.int8), scale


@torch.no_grad()
def quantize(transformer: nn.Module) -> None:
    """Have the linear layers of the transformer's blocks in 8 bit, one after another, so that memory only falls."""
    for name in list(layers(transformer)):
        put(transformer, name, *rounded(transformer.get_submodule(name).weight))  # type: ignore[arg-type]


def put(transformer: nn.Module, name: str, weight: torch.Tensor, scale: torch.Tensor) -> None:
    """Exchange the linear layer of that name; its bias stays."""
    made = EightBitLinear(weight, scale, transformer.get_submodule(name).bias)  # type: ignore[arg-type]
    made.train(transformer.training)
    transformer.set_submodule(name, made)


def fill(
    transformer: nn.Module,
    read: Callable[[str], torch.Tensor],
    in_8_bit: Callable[[str], tuple[torch.Tensor, torch.Tensor] | None],
) -> None:
    """Give a transformer without content its weights, one after another, so that they never are all there in 16 bit.

    `read(name)` is a parameter in the format it computes in; `in_8_bit(name)` is the weight of a layer and its scale,
    or None if it stays as `read` returns it.
    """
    weights = {f"{name}.weight" for name in layers(transformer)}
    state: dict[str, Any] = {}
    for name, empty in transformer.state_dict().items():
        eight = in_8_bit(name) if name in weights else None
        if eight is None:
            state[name] = read(name).reshape(empty.shape)
            continue
        layer = name.removesuffix(".weight")
        put(transformer, layer, *eight)
        state[name], state[f"{layer}.weight_scale"] = eight
    transformer.load_state_dict(state, strict=True, assign=True)


def fill_rounded(transformer: nn.Module, read: Callable[[str], torch.Tensor]) -> None:
    """`fill`, with every layer's weight rounded."""
    fill(transformer, read, lambda name: rounded(read(name)))
