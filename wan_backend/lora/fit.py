"""Whether a LoRA file fits a transformer, told from its head. Standard library only.

What the transformer has no place for is passed over, as it computes nothing there: a LoRA for image to video has layers
for an image encoder that most models lack. It is said, and the file is refused where what remains isn't what it was
made for:

- nothing remains, or less than half of its layers;
- a block of the transformer is missing: the file is for a deeper one;
- it holds whole matrices of parts that no Wan model has, whose work the LoRA relies on;
- it holds something of a layer of Wan's that can't be understood, and so may change what that computes;
- a layer is there, but of another size (other than where latents come in and pictures' sides are counted).
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..catalogue.transformer_shapes import Shapes
from .heads import Head, Unusable
from .key_names import Key, Kind, NoLora, OtherKind, TextEncoders, changes_wans, is_wans, meaning

LEAST_SHARE = 0.5
"""Of a file's layers: where fewer have a place, it was made for something else."""
REAL = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
"""Number formats that mean the numbers that they hold."""
WHOLE = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
OWN_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Of PEFT's ways to begin: those that take out of the model's weights what the factors begin with."""
_WIDTHS = {1536: "Wan 2.1 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}
_FOREIGN = [
    (("double_blocks", "single_blocks"), "Flux or Hunyuan Video"),
    (("single_transformer_blocks", "transformer_blocks"), "Flux, LTX Video, Qwen Image or CogVideoX"),
    (("joint_blocks",), "Stable Diffusion 3"),
    (("down_blocks", "up_blocks", "input_blocks", "output_blocks", "lora_te"), "Stable Diffusion"),
]
"""What layers of other models are called in their LoRAs."""
_PLAIN_NAME = re.compile(r"[\w.]+")
_PLAIN_PATTERN = re.compile(r"(?:[\w.]|\\[.d]\+?|\[0-9\]\+?)+\$?")
MOST_REPEATS, MOST_NAME = 4, 200
"""Of a pattern and of what it is looked for in: more might be looked for without end."""
_SEEN = ("attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k", "image_embedder")
"""Parts of layers' names that only a transformer has which looks at pictures through an encoder."""
_OF_THE_LATENTS = {
    *("patch_embedding.weight", "vace_patch_embedding.weight", "proj_out.weight", "proj_out.bias"),
    "condition_embedder.image_embedder.pos_embed",
}
"""Parameters whose size is that of what a model is given or gives; of models that else are alike, it differs."""


class Passed(StrEnum):
    """Why something of a file is passed over: what follows "for"."""

    SEEING = "an image encoder"
    CONTROL = "control footage (VACE)"
    LATENTS = "latents of another size"
    TEXT_ENCODER = "the text encoder"
    UNKNOWN = "parts that Wan has not"


@dataclass
class Layer:
    """The keys of one layer's factors in the file."""

    down: str = ""
    up: str = ""
    down_bias: str = ""
    up_bias: str = ""
    alpha: str = ""
    told_alpha: float | None = None
    """Alpha as the trainer's settings say, where the file has no tensor for it."""
    spelt: str = ""
    """The layer as the file has it."""


@dataclass
class Content:
    """What a file changes, by diffusers' names."""

    layers: dict[str, Layer] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    """The name of each parameter that something is added to, and the key of that in the file."""
    passed: Counter[Passed] = field(default_factory=Counter)
    """How many layers have no place in the transformer, by why."""

    @property
    def count(self) -> int:
        """So many layers the file has, with those that are passed over."""
        return len(self.layers) + len(self.differences) + self.passed.total()

    def said(self) -> str:
        """What is passed over, as a clause that follows the file's name; empty where nothing is."""
        number = self.passed.total()
        if not number:
            return ""
        reasons = [f"{count:,} for {reason}" for reason, count in self.passed.most_common()]
        share = f"{number:,} of its {self.count:,} layers {'has' if number == 1 else 'have'}"
        rest = "that one is" if number == 1 else "these are"
        return f"works, but {share} no place in this model ({', '.join(reasons)}); {rest} passed over"


def halves(head: Head) -> frozenset[str]:
    """ "high" and "low": the experts of a Wan 2.2 A14B that its keys name; empty where they name none."""
    return frozenset(half for half in _keys_by_half(head.tensors) if half)


def content(head: Head, half: str = "") -> Content:
    """What the file changes; raises Unusable where that can't be told, or is no LoRA.

    `half`: of a file for two transformers, for which one ("high", "low").
    """
    _check_settings(head.settings(half))
    found, strange = Content(), []
    texts = set()
    for key in _keys_of(head, half):
        try:
            said = meaning(key)
        except OtherKind as other:
            raise Unusable(f"is of the kind {other}, which can't be loaded; only LoRA can") from None
        except TextEncoders:
            texts.add(key.partition(".lora")[0].removesuffix(".alpha"))
        except NoLora:
            strange.append(key)
        else:
            _note(found, said, key)
    if not found.layers and not found.differences:
        alone = texts and not strange
        raise Unusable(
            "changes a text encoder alone, which no Wan model is made with"
            if alone
            else "is no LoRA; its tensors have other names"
        )
    whole = [key for key in strange if sum(side > 1 for side in head.tensors[key].shape) > 1 or changes_wans(key)]
    if whole:
        raise Unusable(f"would load in part: {_some(whole, 'tensor')} can't be understood")
    found.passed[Passed.TEXT_ENCODER] += len(texts)
    found.passed[Passed.UNKNOWN] += len(strange)
    found.passed += Counter()  # those that are none go
    for layer in found.layers.values():
        layer.told_alpha = _told_alpha(head, layer, half)
    return found


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise Unusable where the trainer's settings say that it's more than, or not, a LoRA of the model itself."""
    kind = str(settings.get("peft_type") or "LORA")
    if kind != "LORA":
        raise Unusable(f"is an adapter of the kind {kind[:20]}, which can't be loaded; only LoRA can")
    start = str(settings.get("init_lora_weights"))
    if start.lower().startswith(OWN_STARTS):
        raise Unusable(f"was trained on weights that were changed before ({start[:20]}), and so is none for the model")
    if settings.get("layer_replication"):
        raise Unusable("was made for a model with layers that are there twice, which no Wan model has")


def check(head: Head, shapes: Shapes, half: str = "") -> Content:
    """What the file changes in a transformer of these shapes; raises Unusable where it isn't for it (see above)."""
    found = content(head, half)
    names = {*(f"{layer}.weight" for layer in found.layers), *found.differences}
    absent = sorted(names - set(shapes))
    if len(absent) == len(names):
        raise Unusable(_why_all_absent(head, absent))
    _check_width(head, found, shapes)
    _check_depth(absent, names, shapes)
    for name in absent:
        _pass_over(found, name, _why_absent(name))
    for name, layer in list(found.layers.items()):
        _check_layer(head, found, name, layer, shapes)
    for name, key in list(found.differences.items()):
        _check_difference(head, found, name, key, shapes)
    most = found.passed.most_common(1)
    if found.count - found.passed.total() < LEAST_SHARE * found.count:
        raise Unusable(
            f"was made for another model: {found.passed.total()} of its {found.count} layers are for {most[0][0]}"
        )
    return found


def _keys_of(head: Head, half: str) -> Iterable[str]:
    by_half = _keys_by_half(head.tensors)
    if len([each for each in by_half if each]) < 2:
        return list(head.tensors)
    if not half:
        raise Unusable(
            "holds a LoRA for each of the two experts of Wan 2.2 A14B, and this model has one; choose High Noise or "
            "Low Noise as its Expert, to use that half of it"
        )
    return by_half[half]


def _keys_by_half(tensors: Iterable[str]) -> dict[str, list[str]]:
    """The keys for each transformer; "" for those that say none. Beside a second one's, these are the first one's."""
    found: dict[str, list[str]] = {}
    for key, half in _halves_of(tuple(tensors)):
        found.setdefault(half, []).append(key)
    if "low" in found and "high" not in found and "" in found:
        found["high"] = found.pop("")
    if "high" in found and "" in found and "low" in found:
        for half in ("high", "low"):
            found[half] += found[""]
        del found[""]
    return found


@functools.lru_cache(maxsize=64)
def _halves_of(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(_each_half(keys))


def _each_half(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        try:
            yield key, meaning(key).half
        except ValueError:
            yield key, ""


def _note(found: Content, said: Key, key: str) -> None:
    if said.kind is Kind.DIFFERENCE:
        twice = found.differences.setdefault(said.name, key) != key
    else:
        layer = found.layers.setdefault(said.name, Layer(spelt=said.spelt))
        twice = bool(getattr(layer, said.kind.value))
        setattr(layer, said.kind.value, key)
    if twice:
        raise Unusable(f"has two tensors for one purpose, one of them {key[:100]}; it may hold several LoRAs")


def _told_alpha(head: Head, layer: Layer, half: str) -> float | None:
    """Alpha of the trainer's settings, so that alpha / rank is the scale; None where they say none."""
    config = head.settings(half)
    if layer.alpha or "lora_alpha" not in config or layer.down not in head.tensors:
        return None
    patterns = config.get("alpha_pattern") or {}
    alpha = next((value for pattern, value in patterns.items() if _means(pattern, layer.spelt)), config["lora_alpha"])
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise Unusable("has settings beside it (lora_alpha) that are no numbers")
    rank = head.tensors[layer.down].shape[0]
    return float(alpha) * (rank**0.5 if config.get("use_rslora") else 1)


def _means(pattern: str, layer: str) -> bool:
    """Whether a pattern of PEFT's, an expression for the end of a layer's name, means this layer. Raises Unusable."""
    name = pattern.removeprefix("^")
    if _PLAIN_NAME.fullmatch(name):
        return f".{layer}".endswith(f".{name}")
    if not _PLAIN_PATTERN.fullmatch(name) or name.count("+") > MOST_REPEATS:
        raise Unusable(f"has settings beside it (alpha_pattern) that can't be understood: {pattern[:60]}")
    return re.fullmatch(rf"(?:.*\.)?{name}", layer[:MOST_NAME]) is not None


def _pass_over(found: Content, name: str, why: Passed) -> None:
    """Take the parameter `name` out of what is changed."""
    if found.differences.pop(name, None) is not None:
        found.passed[why] += 1
    if found.layers.pop(name.removesuffix(".weight"), None) is not None:
        found.passed[why] += 1


def _check_width(head: Head, found: Content, shapes: Shapes) -> None:
    """Raise Unusable for a LoRA of a wider or narrower model, which is told by what its attention layers take."""
    wanted = shapes["blocks.0.attn1.to_q.weight"][1]
    for name, layer in found.layers.items():
        if name.endswith((".attn1.to_q", ".attn1.to_k", ".attn1.to_v", ".attn2.to_q", ".ffn.net.0.proj")):
            sides = head.tensors[layer.down].shape if layer.down else ()
            width = sides[1] if len(sides) > 1 else wanted
            if width != wanted:
                raise Unusable(f"was made for a model of {_wide(width)}, and this one has {_wide(wanted)}")


def _wide(width: int) -> str:
    name = _WIDTHS.get(width)
    return f"{width} channels ({name})" if name else f"{width} channels"


def _check_depth(absent: list[str], names: set[str], shapes: Shapes) -> None:
    """Raise Unusable where blocks are missing."""
    here = max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")) + 1
    deeper = [
        name for name in absent if name.startswith("blocks.") and is_wans(name) and int(name.split(".")[1]) >= here
    ]
    if deeper:
        depth = max(int(name.split(".")[1]) for name in deeper) + 1
        share = f"{len(absent)} of its {len(names)} layers have no place here"
        raise Unusable(f"was made for a model of at least {depth} blocks, and this one has {here}: {share}")


def _why_all_absent(head: Head, absent: list[str]) -> str:
    if all(any(component in name for component in _SEEN) for name in absent):
        return "changes how a model looks through an image encoder, which this one has not: no layer of it is here"
    if all(name.startswith("vace_") for name in absent):
        return "changes how a model follows control footage (VACE), which this one does not: no layer of it is here"
    return f"was made for another model{_foreign(head.tensors)}: no layer of it is here"


def _why_absent(name: str) -> Passed:
    if not is_wans(name):
        return Passed.UNKNOWN
    if any(component in name for component in _SEEN):
        return Passed.SEEING
    return Passed.CONTROL if name.startswith("vace_") else Passed.UNKNOWN


def _check_layer(head: Head, found: Content, name: str, layer: Layer, shapes: Shapes) -> None:
    """Raise Unusable where the factors aren't both there, or don't give the weight's shape."""
    if not layer.down or not layer.up:
        raise Unusable(f"is not whole: a factor of {name} is missing; download it again")
    parameter = f"{name}.weight"
    down, up, weight = head.tensors[layer.down].shape, head.tensors[layer.up].shape, shapes[parameter]
    together = len(down) > 1 and len(up) > 1 and down[0] == up[1] and down[0] and all(side == 1 for side in up[2:])
    if len(weight) < 2 or not together:
        raise Unusable(f"has factors for {name} that don't go together ({_extent(down)} and {_extent(up)})")
    biases = {layer.down_bias: down[:1], layer.up_bias: up[:1]}
    for key in filter(None, biases):
        if math.prod(head.tensors[key].shape) != biases[key][0] or f"{name}.bias" not in shapes:
            raise Unusable(f"has a bias that doesn't go with its factors, {key[:100]}")
    _check_numbers(head, layer)
    made = (up[0], *down[1:])
    if not alike(made, weight):
        _check_changed_size(found, parameter, made, weight)


def _check_numbers(head: Head, layer: Layer) -> None:
    """Raise Unusable where a tensor's numbers mean something else than they are."""
    for key in filter(None, (layer.down, layer.up, layer.down_bias, layer.up_bias)):
        _check_real(head, key)
    if layer.alpha:
        alpha = head.tensors[layer.alpha]
        if alpha.count != 1 or alpha.dtype not in REAL | WHOLE:
            raise Unusable(f"has an alpha that is no single number, {layer.alpha[:100]}; download it again")


def _check_real(head: Head, key: str) -> None:
    kind = head.tensors[key].dtype
    if kind not in REAL:
        raise Unusable(f"holds numbers that are packed ({kind[:20]}, in {key[:100]}); get it in bf16 or fp16")


def _check_difference(head: Head, found: Content, name: str, key: str, shapes: Shapes) -> None:
    _check_real(head, key)
    made = head.tensors[key].shape
    if not alike(made, shapes[name]):
        _check_changed_size(found, name, made, shapes[name])


def _check_changed_size(found: Content, name: str, made: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if name not in _OF_THE_LATENTS:
        name = name.removesuffix(".weight")
        raise Unusable(f"was made for another model: its {name} is {_extent(made)}, here it is {_extent(wanted)}")
    _pass_over(found, name, Passed.SEEING if "image_embedder" in name else Passed.LATENTS)


def alike(made: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """True where the two are one shape: flat, or with sides of one more or less, a file holds the same numbers."""
    if made == wanted:
        return True
    flat = len(made) == 2 and made[0] == wanted[0] and made[1] == math.prod(wanted[1:])
    return flat or [side for side in made if side != 1] == [side for side in wanted if side != 1]


def _extent(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _foreign(keys: Iterable[str]) -> str:
    text = "\n".join(keys)
    return next((f", such as {name}" for marks, name in _FOREIGN if any(mark in text for mark in marks)), "")


def _some(names: list[str], noun: str) -> str:
    first = names[0][:100]
    return f"{noun} {first}" if len(names) == 1 else f"{len(names)} {noun}s, as {first},"
