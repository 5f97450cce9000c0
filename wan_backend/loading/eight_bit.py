"""Linear layers whose weights stay in 8 bit in memory, and transformers made of them.

By themselves, weights alone are in 8 bit: for each product they are made anew in the number format of what they
multiply, so this runs on every card. Of the two formats that are found, fp8 is for weights that a file has in it;
whatever is rounded to save memory becomes int8 with a scale a row, which on trained weights errs by less than a third
as much. If a person chooses fast matrices, a product in 8 bit multiplies with the weights as they are, see
`matrix_products`; they are rounded to the format that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import nn

EIGHT_BIT_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.int8)
STACKS = ("blocks", "vace_blocks")
"""What of a transformer is in 8 bit: nearly all of its weights. The ends see more of the noise and of the time."""
LEVELS = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The largest number of each format that weights are rounded to."""
PROMPT_LAYERS = ("attn2.to_k", "attn2.to_v", "attn2.add_k_proj", "attn2.add_v_proj")
"""Layers that see the prompt and the pictures, not the video: a few hundred rows, where an exact product costs nothing.
They are rounded to int8 whatever the others are."""


class MatrixProduct(Protocol):
    """What multiplies with weights in 8 bit as they are, see `matrix_products`."""

    weight_format: torch.dtype

    def fits(self, layer: EightBitLinear) -> bool:
        """Whether it can multiply with the weight of that layer."""

    def multiply(self, layer: EightBitLinear, states: torch.Tensor, gelu: bool = False) -> torch.Tensor | None:
        """(..., in) -> (..., out), of the GELU of `states` if asked for; None if it can't."""


class EightBitLinear(nn.Linear):
    """A linear layer with its weight in 8 bit, of the shape (out, in), and its bias in the compute format.

    `weight` is a parameter, so that what counts, moves, streams or wraps the parameters of layers meets nothing new.
    """

    weight_scale: torch.Tensor
    """float32, (1, 1) or (out, 1): what the numbers of the weight are multiplied by."""
    product: MatrixProduct | None = None
    """What multiplies with the weight as it is; None if its numbers are made anew for each product."""

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
        made = None if self.product is None else self.product.multiply(self, input)
        return nn.functional.linear(input, self.weight_in(input.dtype), self.bias) if made is None else made

    def after_gelu(self, states: torch.Tensor) -> torch.Tensor:
        """What it makes of GELU (as tanh has it) of `states`, in one pass over them if the product can do that."""
        made = None if self.product is None else self.product.multiply(self, states, gelu=True)
        return self(nn.functional.gelu(states, approximate="tanh")) if made is None else made

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


def rounded(weight: torch.Tensor, form: torch.dtype = torch.int8) -> tuple[torch.Tensor, torch.Tensor]:
    """8 bit (out, in) and float32 (out, 1) for a weight (out, in); each row's largest number is kept exactly."""
    wide = weight.float()
    most = wide.abs().amax(dim=1, keepdim=True)
    scale = torch.where(most == 0, 1.0, most / LEVELS[form])
    numbers = wide / scale
    return (numbers.round_() if form == torch.int8 else numbers).to(form), scale


def format_for(name: str, wanted: torch.dtype) -> torch.dtype:
    """The format that the weight of that name is rounded to if the products take `wanted`."""
    return torch.int8 if sees_prompt(name) else wanted


def sees_prompt(name: str) -> bool:
    """True for the layers of PROMPT_LAYERS, by the name of one or of its weight."""
    return name.removesuffix(".weight").endswith(PROMPT_LAYERS)


@torch.no_grad()
def quantize(transformer: nn.Module, form: torch.dtype = torch.int8) -> None:
    """Have the linear layers of the transformer's blocks in 8 bit, one after another, so that memory only falls."""
    for name in list(layers(transformer)):
        weight: torch.Tensor = transformer.get_submodule(name).weight  # type: ignore[assignment]
        put(transformer, name, *rounded(weight, format_for(name, form)))


def multiply_with(transformer: nn.Module, product: MatrixProduct | None) -> int:
    """Have the layers in 8 bit multiply with `product` if it can, or as they do by themselves; how many it does."""
    count = 0
    for name, layer in transformer.named_modules():
        if isinstance(layer, EightBitLinear):
            plain_name = name.removesuffix(".base_layer")  # as it is called under an adapter
            layer.product = (
                product if product is not None and not sees_prompt(plain_name) and product.fits(layer) else None
            )
            count += layer.product is not None
    return count


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


def fill_rounded(transformer: nn.Module, read: Callable[[str], torch.Tensor], form: torch.dtype = torch.int8) -> None:
    """`fill`, with every layer's weight rounded."""
    fill(transformer, read, lambda name: rounded(read(name), format_for(name, form)))
