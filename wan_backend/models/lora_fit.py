"""Whether a LoRA file fits a transformer, whole, told from its head. Standard library only.

A file that would load in part is refused: what it was trained to do is in all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .lora_file import Head, Unusable
from .lora_names import Key, Kind, NoLora, OtherKind, meaning, of_second_transformer
from .transformer_shapes import Shapes

_WIDTHS = {1536: "Wan 2.1 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}
_FOREIGN = [
    (("double_blocks", "single_blocks"), "Flux or Hunyuan Video"),
    (("single_transformer_blocks", "transformer_blocks"), "Flux, LTX Video, Qwen Image or CogVideoX"),
    (("joint_blocks",), "Stable Diffusion 3"),
    (("down_blocks", "up_blocks", "input_blocks", "output_blocks", "lora_te"), "Stable Diffusion"),
]
"""What layers of other models are called in their LoRAs."""
_SEEN = ("attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k", "image_embedder")
"""Parts of layers' names that only a transformer has which looks at pictures through an encoder."""


@dataclass
class Layer:
    """The keys of one layer's factors in the file."""

    down: str = ""
    up: str = ""
    alpha: str = ""
    told_alpha: float | None = None
    """Alpha as the trainer's settings say, where the file has no tensor for it."""


@dataclass
class Content:
    """What a file changes, by diffusers' names."""

    layers: dict[str, Layer] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    """The name of each parameter that something is added to, and the key of that in the file."""


def content(head: Head) -> Content:
    """What the file changes; raises Unusable where that can't be told, or is no LoRA."""
    kind = str(head.config.get("peft_type") or "LORA")
    if kind != "LORA":
        raise Unusable(f"is an adapter of the kind {kind[:20]}, which can't be loaded; only LoRA can")
    found, strange = Content(), []
    for key in head.tensors:
        try:
            said = meaning(key)
        except OtherKind as other:
            raise Unusable(f"is of the kind {other}, which can't be loaded; only LoRA can") from None
        except NoLora:
            strange.append(key)
            continue
        _note(found, said, key)
    if not found.layers and not found.differences:
        raise Unusable("is no LoRA; its tensors have other names")
    if strange:
        raise Unusable(f"would load in part: {_some(strange, 'tensor')} can't be understood")
    if any(map(of_second_transformer, head.tensors)):
        raise Unusable("holds what is for two transformers; it has to be split into a file for each")
    for layer in found.layers.values():
        layer.told_alpha = _told_alpha(head, layer)
    return found


def check(head: Head, shapes: Shapes) -> Content:
    """What the file changes in a transformer of these shapes; raises Unusable where it doesn't fit it whole."""
    found = content(head)
    names = {*(f"{layer}.weight" for layer in found.layers), *found.differences}
    absent = sorted(names - set(shapes))
    if len(absent) == len(names):
        raise Unusable(f"was made for another model{_foreign(head.tensors)}: no layer of it is here")
    _check_width(head, found, shapes)
    if absent:
        raise Unusable(_why_absent(absent, names, shapes))
    for name, layer in found.layers.items():
        _check_layer(head, name, layer, shapes)
    for name, key in found.differences.items():
        if head.tensors[key].shape != shapes[name]:
            raise Unusable(_wrong_shape(name, head.tensors[key].shape, shapes[name]))
    return found


def _note(found: Content, said: Key, key: str) -> None:
    if said.kind is Kind.DIFFERENCE:
        twice = found.differences.setdefault(said.name, key) != key
    else:
        layer = found.layers.setdefault(said.name, Layer())
        twice = bool(getattr(layer, said.kind.value))
        setattr(layer, said.kind.value, key)
    if twice:
        raise Unusable(f"has two tensors for one purpose, one of them {key[:100]}; it may hold several LoRAs")


def _told_alpha(head: Head, layer: Layer) -> float | None:
    """Alpha of the trainer's settings, so that alpha / rank is the scale; None where they say none."""
    config = head.config
    if layer.alpha or "lora_alpha" not in config or layer.down not in head.tensors:
        return None
    spelt = layer.down.partition(".lora_")[0]
    patterns = config.get("alpha_pattern") or {}
    alpha = next(
        (value for name, value in patterns.items() if f".{spelt}".endswith(f".{name.lstrip('^')}")),
        config["lora_alpha"],
    )
    if not isinstance(alpha, int | float):
        raise Unusable("has settings beside it (lora_alpha) that are no numbers")
    rank = head.tensors[layer.down].shape[0]
    return float(alpha) * (rank**0.5 if config.get("use_rslora") else 1)


def _check_width(head: Head, found: Content, shapes: Shapes) -> None:
    """Raise Unusable for a LoRA of a wider or narrower model, which is told by what its attention layers take."""
    wanted = shapes["blocks.0.attn1.to_q.weight"][1]
    for name, layer in found.layers.items():
        if name.endswith((".attn1.to_q", ".attn1.to_k", ".attn1.to_v", ".attn2.to_q", ".ffn.net.0.proj")):
            width = head.tensors[layer.down].shape[1] if layer.down else wanted
            if width != wanted:
                raise Unusable(f"was made for a model of {_wide(width)}, and this one has {_wide(wanted)}")


def _wide(width: int) -> str:
    name = _WIDTHS.get(width)
    return f"{width} channels ({name})" if name else f"{width} channels"


def _why_absent(absent: list[str], names: set[str], shapes: Shapes) -> str:
    share = f"{len(absent)} of its {len(names)} layers have no place here"
    if any(part in name for name in absent for part in _SEEN):
        return f"was made for image to video with an image encoder, which this model has not: {share}"
    if any(name.startswith("vace_") for name in absent) and "vace_patch_embedding.weight" not in shapes:
        return f"was made for a control model (VACE), which this is not: {share}"
    blocks = {int(name.split(".")[1]) for name in absent if name.startswith("blocks.")}
    here = max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")) + 1
    if blocks and max(blocks) >= here:
        return f"was made for a model of at least {max(blocks) + 1} blocks, and this one has {here}: {share}"
    return f"would load in part: {share}, as {absent[0][:100]}"


def _check_layer(head: Head, name: str, layer: Layer, shapes: Shapes) -> None:
    """Raise Unusable where the factors aren't both there, or don't give the weight's shape."""
    if not layer.down or not layer.up:
        raise Unusable(f"is not whole: a factor of {name} is missing; download it again")
    down, up, weight = head.tensors[layer.down].shape, head.tensors[layer.up].shape, shapes[f"{name}.weight"]
    if len(weight) < 2 or min(len(down), len(up)) != len(weight) or down[0] != up[1] or not down[0]:
        raise Unusable(f"has factors for {name} that don't go together ({_extent(down)} and {_extent(up)})")
    made = (up[0], *down[1:])
    if made != weight or any(extent != 1 for extent in up[2:]):
        raise Unusable(_wrong_shape(name, made, weight))


def _wrong_shape(name: str, made: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if name.startswith("patch_embedding") and len(made) > 1:
        return f"was made for a model that takes {made[1]} channels of latents, and this one takes {wanted[1]}"
    return f"was made for another model: its {name} is {_extent(made)}, here it is {_extent(wanted)}"


def _extent(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _foreign(keys: Iterable[str]) -> str:
    text = "\n".join(keys)
    return next((f", such as {name}" for marks, name in _FOREIGN if any(mark in text for mark in marks)), "")


def _some(names: list[str], noun: str) -> str:
    first = names[0][:100]
    return f"{noun} {first}" if len(names) == 1 else f"{len(names)} {noun}s, as {first},"
