"""The names of the autoencoders' tensors: as published, and as diffusers has them. Standard library only; no torch.

Wan 2.1's lists its blocks in one row; Wan 2.2's has rows of blocks in rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

IN_RESNET = {
    "residual.0.gamma": "norm1.gamma",
    "residual.2.weight": "conv1.weight",
    "residual.2.bias": "conv1.bias",
    "residual.3.gamma": "norm2.gamma",
    "residual.6.weight": "conv2.weight",
    "residual.6.bias": "conv2.bias",
    "shortcut.weight": "conv_shortcut.weight",
    "shortcut.bias": "conv_shortcut.bias",
}
IN_RESAMPLE = ("resample.1.weight", "resample.1.bias", "time_conv.weight", "time_conv.bias")
IN_ATTENTION = ("norm.gamma", "to_qkv.weight", "to_qkv.bias", "proj.weight", "proj.bias")
ENDS = {
    "conv1.weight": "quant_conv.weight",
    "conv1.bias": "quant_conv.bias",
    "conv2.weight": "post_quant_conv.weight",
    "conv2.bias": "post_quant_conv.bias",
    **{
        f"{half}.{published}": f"{half}.{ours}"
        for half in ("encoder", "decoder")
        for published, ours in (
            ("conv1.weight", "conv_in.weight"),
            ("conv1.bias", "conv_in.bias"),
            ("head.0.gamma", "norm_out.gamma"),
            ("head.2.weight", "conv_out.weight"),
            ("head.2.bias", "conv_out.bias"),
        )
    },
}
MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_FLAT = re.compile(r"(encoder\.downsamples|decoder\.upsamples)\.(\d+)\.(.+)")
_NESTED = re.compile(r"(encoder\.downsamples|decoder\.upsamples)\.(\d+)\.(?:downsamples|upsamples)\.(\d+)\.(.+)")


def is_nested(names: Iterable[str]) -> bool:
    """True for Wan 2.2's autoencoder."""
    return any(_NESTED.fullmatch(name) for name in names)


def namer(names: Iterable[str]) -> Callable[[str], str | None]:
    """What gives diffusers' name of a published one, for the autoencoder that has `names`; None where it knows none."""
    names = list(names)
    if is_nested(names):
        return lambda name: _end(name) or _nested(name)
    groups = resnets_in_a_group(names) + 1
    return lambda name: _end(name) or _flat(name, groups)


def resnets_in_a_group(names: Iterable[str]) -> int:
    """How many residual blocks of the decoder come before its first enlarging: one more than in the encoder."""
    matches = (_FLAT.fullmatch(name) for name in names if name.startswith("decoder."))
    return min((int(found[2]) for found in matches if found and found[3].startswith("resample")), default=3)


def _end(name: str) -> str | None:
    if name in ENDS:
        return ENDS[name]
    half, _, rest = name.partition(".middle.")
    number, _, inner = rest.partition(".")
    if half not in ("encoder", "decoder") or number not in MIDDLE:
        return None
    known = inner if number == "1" and inner in IN_ATTENTION else IN_RESNET.get(inner) if number != "1" else None
    return known and f"{half}.mid_block.{MIDDLE[number]}.{known}"


def _flat(name: str, group: int) -> str | None:
    found = _FLAT.fullmatch(name)
    if not found:
        return None
    number, inner = int(found[2]), found[3]
    known = IN_RESNET.get(inner) or (inner if inner in IN_RESAMPLE else None)
    if known is None:
        return None
    if found[1] == "encoder.downsamples":
        return f"encoder.down_blocks.{number}.{known}"
    block, place = divmod(number, group)
    kind = "upsamplers.0" if inner in IN_RESAMPLE else f"resnets.{place}"
    return f"decoder.up_blocks.{block}.{kind}.{known}"


def _nested(name: str) -> str | None:
    found = _NESTED.fullmatch(name)
    if not found:
        return None
    down = found[1] == "encoder.downsamples"
    block = f"encoder.down_blocks.{found[2]}" if down else f"decoder.up_blocks.{found[2]}"
    if found[4] in IN_RESAMPLE:
        return f"{block}.{'downsampler' if down else 'upsampler'}.{found[4]}"
    known = IN_RESNET.get(found[4])
    return known and f"{block}.resnets.{found[3]}.{known}"
