"""Checks from its head whether a LoRA file fits a transformer.

What the transformer has no layer for is skipped, as it would compute nothing there: a LoRA for image to video has
layers for an image encoder that most models lack. The plan says so. The file is refused if what remains isn't what
it was made for:

- nothing remains, or less than half of its layers;
- a block of the transformer is missing: the file is for a deeper one;
- it holds whole matrices of components that no Wan model has, on whose work the LoRA relies;
- it holds something of a layer of Wan's that can't be understood, and so may change what that computes;
- a layer is there, but of another size (other than where latents come in and pictures' sides are counted).
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..catalogue.transformer_shapes import Shapes
from ..protocol.sentences import NO_SENTENCE, Sentence
from .key_names import Kind, LoraKey, changes_wans, is_wans, parse_key
from .lora_head import LoraHead, UnusableLora

MIN_SHARE = 0.5
"""Where the model has fewer of a file's layers than this share, the file was made for something else."""
REAL = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
"""Number formats that mean the numbers that they hold."""
INTEGERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
CHANGED_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to initialize in PEFT that take out of the model's weights what the factors begin with."""
_WIDTHS = {1536: "Wan 2.1 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}
_FOREIGN = [
    (("double_blocks", "single_blocks"), Sentence("Flux or Hunyuan Video")),
    (("single_transformer_blocks", "transformer_blocks"), Sentence("Flux, LTX Video, Qwen Image or CogVideoX")),
    (("joint_blocks",), "Stable Diffusion 3"),
    (("down_blocks", "up_blocks", "input_blocks", "output_blocks", "lora_te"), "Stable Diffusion"),
]
"""Names of layers in LoRAs of other models."""
_PLAIN_NAME = re.compile(r"[\w.]+")
_PLAIN_PATTERN = re.compile(r"(?:[\w.]|\\[.d]\+?|\[0-9\]\+?)+\$?")
MAX_REPEATS, MAX_NAME = 4, 200
"""Limits of a pattern and of the name that it is searched in: a search beyond them might never end."""
_IMAGE_LAYERS = ("attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k", "image_embedder")
"""The names of layers that only a transformer with an image encoder has contain these."""
_OF_THE_LATENTS = {
    *("patch_embedding.weight", "vace_patch_embedding.weight", "proj_out.weight", "proj_out.bias"),
    "condition_embedder.image_embedder.pos_embed",
}
"""Parameters whose size depends on the latents, which differs among models that are else alike."""


class SkipReason(StrEnum):
    """Why something of a file is skipped."""

    IMAGE_ENCODER = "image encoder"
    CONTROL = "control"
    LATENTS = "latents"
    TEXT_ENCODER = "text encoder"
    UNKNOWN = "unknown"


_SKIPPED_FOR = {
    SkipReason.IMAGE_ENCODER: Sentence("an image encoder"),
    SkipReason.CONTROL: Sentence("control footage (VACE)"),
    SkipReason.LATENTS: Sentence("latents of another size"),
    SkipReason.TEXT_ENCODER: Sentence("the text encoder"),
    SkipReason.UNKNOWN: Sentence("layers that Wan doesn't have"),
}


@dataclass
class LoraLayer:
    """The keys of one layer's factors in the file."""

    down: str = ""
    up: str = ""
    down_bias: str = ""
    up_bias: str = ""
    alpha: str = ""
    config_alpha: float | None = None
    """Alpha by the trainer's settings, if the file has no tensor for it."""
    spelled: str = ""
    """The layer as the file has it."""


@dataclass
class LoraContent:
    """What a LoRA changes, by diffusers' names."""

    layers: dict[str, LoraLayer] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    """The name of each parameter that something is added to, and the key of that in the file."""
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    """How many layers the transformer doesn't have, by reason."""

    @property
    def layer_count(self) -> int:
        """How many layers the file has, with those that are skipped."""
        return len(self.layers) + len(self.differences) + self.skipped.total()

    def skipped_clause(self) -> Sentence:
        """What is skipped, as a clause that follows the file's name; empty if nothing is."""
        number = self.skipped.total()
        if not number:
            return NO_SENTENCE
        reasons = [
            Sentence("{count} for {reason}", count=f"{count:,}", reason=_SKIPPED_FOR[reason])
            for reason, count in self.skipped.most_common()
        ]
        clause = (
            Sentence(
                "works, but {count} of its {layers} layers has no place in this model ({reasons}); that one is skipped"
            )
            if number == 1
            else Sentence(
                "works, but {count} of its {layers} layers have no place in this model ({reasons}); these are skipped"
            )
        )
        return clause.with_values(
            count=f"{number:,}", layers=f"{self.layer_count:,}", reasons=Sentence.joined(reasons, ", ")
        )


def named_experts(head: LoraHead) -> frozenset[str]:
    """ "high" and "low": the experts of a Wan 2.2 A14B that its keys name; empty if they name none."""
    return frozenset(expert for expert in _keys_by_expert(head.tensors) if expert)


def read_content(head: LoraHead, expert: str = "") -> LoraContent:
    """What the file changes; of a file for two transformers, for `expert` ("high", "low").

    Raises UnusableLora if that can't be known, or the file is no LoRA.
    """
    _check_settings(head.settings(expert))
    found, unknown = LoraContent(), []
    texts = set()
    for key in _keys_of(head, expert):
        parsed = parse_key(key)
        if parsed.kind is Kind.OTHER_ADAPTER:
            raise UnusableLora(
                Sentence("is of the kind {kind}, which can't be loaded; only LoRA can", kind=parsed.name)
            )
        if parsed.kind is Kind.TEXT_ENCODER:
            texts.add(key.partition(".lora")[0].removesuffix(".alpha"))
        elif parsed.kind is Kind.UNKNOWN:
            unknown.append(key)
        else:
            _note(found, parsed, key)
    if not found.layers and not found.differences:
        alone = texts and not unknown
        raise UnusableLora(
            Sentence("only changes a text encoder that no Wan model uses")
            if alone
            else Sentence("is not a LoRA; its tensors have other names")
        )
    whole = [key for key in unknown if sum(side > 1 for side in head.tensors[key].shape) > 1 or changes_wans(key)]
    if whole:
        raise UnusableLora(Sentence("would load only in part: {tensors} can't be understood", tensors=_some(whole)))
    found.skipped[SkipReason.TEXT_ENCODER] += len(texts)
    found.skipped[SkipReason.UNKNOWN] += len(unknown)
    found.skipped += Counter()  # drops the reasons that have none
    for layer in found.layers.values():
        layer.config_alpha = _config_alpha(head, layer, expert)
    return found


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise UnusableLora if the trainer's settings say that it's more than, or not, a LoRA of the model itself."""
    kind = str(settings.get("peft_type") or "LORA")
    if kind != "LORA":
        raise UnusableLora(
            Sentence("is an adapter of the kind {kind}, which can't be loaded; only LoRA can", kind=kind[:20])
        )
    if settings.get("use_dora") is True:  # its magnitudes, which nothing else says, would be refused by their names
        raise UnusableLora(Sentence("is a DoRA by its settings, and its magnitudes are missing; get it as a LoRA"))
    start = str(settings.get("init_lora_weights"))
    if start.lower().startswith(CHANGED_STARTS):
        raise UnusableLora(
            Sentence(
                "was trained on weights that were changed before ({start}), so it doesn't fit the published model",
                start=start[:20],
            )
        )
    if settings.get("layer_replication"):
        raise UnusableLora(Sentence("was made for a model with duplicated layers, which no Wan model has"))


def check_fit(head: LoraHead, shapes: Shapes, expert: str = "") -> LoraContent:
    """What the file changes in a transformer of these shapes. Raises UnusableLora if it isn't for it (see above)."""
    found = read_content(head, expert)
    names = {*(f"{layer}.weight" for layer in found.layers), *found.differences}
    absent = sorted(names - set(shapes))
    if len(absent) == len(names):
        raise UnusableLora(_why_all_absent(head, absent))
    _check_width(head, found, shapes)
    _check_depth(absent, names, shapes)
    for name in absent:
        _skip(found, name, _why_absent(name))
    for name, layer in list(found.layers.items()):
        _check_layer(head, found, name, layer, shapes)
    for name, key in list(found.differences.items()):
        _check_difference(head, found, name, key, shapes)
    most = found.skipped.most_common(1)
    count, skipped = found.layer_count, found.skipped.total()
    if count - skipped < MIN_SHARE * count:
        raise UnusableLora(
            Sentence(
                "was made for another model: {skipped} of its {count} layers are for {reason}",
                skipped=skipped,
                count=count,
                reason=_SKIPPED_FOR[most[0][0]],
            )
        )
    return found


def _keys_of(head: LoraHead, expert: str) -> Iterable[str]:
    by_expert = _keys_by_expert(head.tensors)
    if len([each for each in by_expert if each]) < 2:
        return list(head.tensors)
    if not expert:
        raise UnusableLora(
            Sentence(
                "holds a LoRA for each of the two experts of Wan 2.2 A14B, and this model has one; "
                "choose High Noise or Low Noise as its Expert, to use only that one"
            )
        )
    return by_expert[expert]


def _keys_by_expert(tensors: Iterable[str]) -> dict[str, list[str]]:
    """The keys for each expert; "" has those that name none.

    If keys name the low-noise expert alone, those that name none are the high-noise one's; if they name both,
    these are for both.
    """
    found: dict[str, list[str]] = {}
    for key, expert in _experts_of(tuple(tensors)):
        found.setdefault(expert, []).append(key)
    if "low" in found and "high" not in found and "" in found:
        found["high"] = found.pop("")
    if "high" in found and "" in found and "low" in found:
        for expert in ("high", "low"):
            found[expert] += found[""]
        del found[""]
    return found


@functools.lru_cache(maxsize=64)
def _experts_of(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(key, parse_key(key).expert) for key in keys]


def _note(found: LoraContent, parsed: LoraKey, key: str) -> None:
    if parsed.kind is Kind.DIFFERENCE:
        twice = found.differences.setdefault(parsed.name, key) != key
    else:
        layer = found.layers.setdefault(parsed.name, LoraLayer(spelled=parsed.spelled))
        twice = bool(getattr(layer, parsed.kind.value))
        setattr(layer, parsed.kind.value, key)
    if twice:
        raise UnusableLora(
            Sentence(
                "has two tensors for the same purpose, one of them {key}; it may hold several LoRAs", key=key[:100]
            )
        )


def _config_alpha(head: LoraHead, layer: LoraLayer, expert: str) -> float | None:
    """Alpha of the trainer's settings, so that alpha / rank is the scale; None if they say none."""
    config = head.settings(expert)
    if layer.alpha or "lora_alpha" not in config or layer.down not in head.tensors:
        return None
    patterns = config.get("alpha_pattern") or {}
    alpha = next(
        (value for pattern, value in patterns.items() if _matches(pattern, layer.spelled)), config["lora_alpha"]
    )
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise UnusableLora(Sentence("has settings beside it (lora_alpha) that are not numbers"))
    rank = head.tensors[layer.down].shape[0]
    return float(alpha) * (rank**0.5 if config.get("use_rslora") else 1)


def _matches(pattern: str, layer: str) -> bool:
    """Whether a pattern of PEFT's, an expression for the end of a layer's name, matches it. Raises UnusableLora."""
    name = pattern.removeprefix("^")
    if _PLAIN_NAME.fullmatch(name):
        return f".{layer}".endswith(f".{name}")
    if not _PLAIN_PATTERN.fullmatch(name) or name.count("+") > MAX_REPEATS:
        raise UnusableLora(
            Sentence("has settings beside it (alpha_pattern) that can't be understood: {pattern}", pattern=pattern[:60])
        )
    return re.fullmatch(rf"(?:.*\.)?{name}", layer[:MAX_NAME]) is not None


def _skip(found: LoraContent, name: str, why: SkipReason) -> None:
    """Take the parameter `name` out of what is changed, and count it as skipped."""
    if found.differences.pop(name, None) is not None:
        found.skipped[why] += 1
    if found.layers.pop(name.removesuffix(".weight"), None) is not None:
        found.skipped[why] += 1


def _check_width(head: LoraHead, found: LoraContent, shapes: Shapes) -> None:
    """Raise UnusableLora for a LoRA of a wider or narrower model, by what its attention layers take."""
    wanted = shapes["blocks.0.attn1.to_q.weight"][1]
    for name, layer in found.layers.items():
        if name.endswith((".attn1.to_q", ".attn1.to_k", ".attn1.to_v", ".attn2.to_q", ".ffn.net.0.proj")):
            sides = head.tensors[layer.down].shape if layer.down else ()
            width = sides[1] if len(sides) > 1 else wanted
            if width != wanted:
                raise UnusableLora(
                    Sentence(
                        "was made for a model of {width}, and this one has {wanted}",
                        width=_wide(width),
                        wanted=_wide(wanted),
                    )
                )


def _wide(width: int) -> Sentence:
    name = _WIDTHS.get(width)
    return (
        Sentence("{width} channels ({name})", width=width, name=name)
        if name
        else Sentence("{width} channels", width=width)
    )


def _check_depth(absent: list[str], names: set[str], shapes: Shapes) -> None:
    """Raise UnusableLora if blocks are missing."""
    here = max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")) + 1
    deeper = [
        name for name in absent if name.startswith("blocks.") and is_wans(name) and int(name.split(".")[1]) >= here
    ]
    if deeper:
        depth = max(int(name.split(".")[1]) for name in deeper) + 1
        share = Sentence("{count} of its {layers} layers have no place here", count=len(absent), layers=len(names))
        raise UnusableLora(
            Sentence(
                "was made for a model of at least {depth} blocks, and this one has {here}: {share}",
                depth=depth,
                here=here,
                share=share,
            )
        )


def _why_all_absent(head: LoraHead, absent: list[str]) -> Sentence:
    if all(any(component in name for component in _IMAGE_LAYERS) for name in absent):
        return Sentence(
            "changes how a model looks through an image encoder, which this one doesn't have: no layer of it is here"
        )
    if all(name.startswith("vace_") for name in absent):
        return Sentence(
            "changes how a model follows control footage (VACE), which this one doesn't: no layer of it is here"
        )
    return Sentence("was made for another model{foreign}: no layer of it is here", foreign=_foreign(head.tensors))


def _why_absent(name: str) -> SkipReason:
    if not is_wans(name):
        return SkipReason.UNKNOWN
    if any(component in name for component in _IMAGE_LAYERS):
        return SkipReason.IMAGE_ENCODER
    return SkipReason.CONTROL if name.startswith("vace_") else SkipReason.UNKNOWN


def _check_layer(head: LoraHead, found: LoraContent, name: str, layer: LoraLayer, shapes: Shapes) -> None:
    """Raise UnusableLora if the factors aren't both there, or don't give the weight's shape."""
    if not layer.down or not layer.up:
        raise UnusableLora(Sentence("is incomplete: a factor of {name} is missing; download it again", name=name))
    parameter = f"{name}.weight"
    down, up, weight = head.tensors[layer.down].shape, head.tensors[layer.up].shape, shapes[parameter]
    together = len(down) > 1 and len(up) > 1 and down[0] == up[1] and down[0] and all(side == 1 for side in up[2:])
    if len(weight) < 2 or not together:
        raise UnusableLora(
            Sentence(
                "has factors for {name} that don't go together ({down} and {up})",
                name=name,
                down=_extent(down),
                up=_extent(up),
            )
        )
    biases = {layer.down_bias: down[:1], layer.up_bias: up[:1]}
    for key in filter(None, biases):
        if math.prod(head.tensors[key].shape) != biases[key][0] or f"{name}.bias" not in shapes:
            raise UnusableLora(Sentence("has a bias that doesn't go with its factors, {key}", key=key[:100]))
    _check_numbers(head, layer)
    made = (up[0], *down[1:])
    if not alike(made, weight):
        _check_changed_size(found, parameter, made, weight)


def _check_numbers(head: LoraHead, layer: LoraLayer) -> None:
    """Raise UnusableLora if a tensor's numbers mean something else than they are."""
    for key in filter(None, (layer.down, layer.up, layer.down_bias, layer.up_bias)):
        _check_real(head, key)
    if layer.alpha:
        alpha = head.tensors[layer.alpha]
        if alpha.count != 1 or alpha.dtype not in REAL | INTEGERS:
            raise UnusableLora(
                Sentence(
                    "has an alpha that is not a single number, {alpha}; download it again", alpha=layer.alpha[:100]
                )
            )


def _check_real(head: LoraHead, key: str) -> None:
    kind = head.tensors[key].dtype
    if kind not in REAL:
        raise UnusableLora(
            Sentence(
                "holds numbers that are packed ({kind}, in {key}); get it in bf16 or fp16",
                kind=kind[:20],
                key=key[:100],
            )
        )


def _check_difference(head: LoraHead, found: LoraContent, name: str, key: str, shapes: Shapes) -> None:
    _check_real(head, key)
    made = head.tensors[key].shape
    if not alike(made, shapes[name]):
        _check_changed_size(found, name, made, shapes[name])


def _check_changed_size(found: LoraContent, name: str, made: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if name not in _OF_THE_LATENTS:
        name = name.removesuffix(".weight")
        raise UnusableLora(
            Sentence(
                "was made for another model: its {name} is {size}, here it is {wanted}",
                name=name,
                size=_extent(made),
                wanted=_extent(wanted),
            )
        )
    _skip(found, name, SkipReason.IMAGE_ENCODER if "image_embedder" in name else SkipReason.LATENTS)


def alike(made: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """True if a tensor of one shape can be reshaped to the other: it is flat, or has more or fewer sides of one."""
    if made == wanted:
        return True
    flat = len(made) == 2 and made[0] == wanted[0] and made[1] == math.prod(wanted[1:])
    return flat or [side for side in made if side != 1] == [side for side in wanted if side != 1]


def _extent(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _foreign(keys: Iterable[str]) -> Sentence:
    text = "\n".join(keys)
    for marks, name in _FOREIGN:
        if any(mark in text for mark in marks):
            return Sentence(", such as {name}", name=name)
    return NO_SENTENCE


def _some(tensors: list[str]) -> Sentence:
    first = tensors[0][:100]
    if len(tensors) == 1:
        return Sentence("tensor {name}", name=first)
    return Sentence("{count} tensors, as {name},", count=len(tensors), name=first)
