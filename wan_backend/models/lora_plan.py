"""Which LoRAs a job is made with, settled and checked when it is planned. Standard library and protocol only.

Nothing is loaded: files are judged by their heads, models by their config.json.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..protocol.errors import Refusal
from ..protocol.messages import (
    LEAST_STRENGTH,
    MAX_LORAS,
    MOST_STRENGTH,
    Expert,
    Fix,
    FixSetting,
    LoraUse,
    Plan,
    Problem,
    ProblemKind,
    TakeRequest,
)
from . import looking, lora_file, lora_fit
from .files import headers
from .places import Places
from .transformer_shapes import Shapes, shapes

PLAIN_FORMS = ("bf16", "fp16", "fp32", "f16", "f32")
"""Of a file's weights: the others stay packed on a card."""
EXPERTS = {"transformer": Expert.HIGH, "transformer_2": Expert.LOW}
"""Which expert each transformer of a model with two is."""


def wrong(request: TakeRequest) -> Problem | None:
    """What is wrong with a request's LoRAs in themselves, or None."""
    if len(request.loras) > MAX_LORAS:
        return Problem(ProblemKind.BAD_LORA, f"{len(request.loras)} LoRAs are too many; use at most {MAX_LORAS}.")
    for use in request.loras:
        if not use.path or "\0" in use.path or not os.path.isabs(use.path):
            return _refused(use, "is not where its path says; save the file, or choose the LoRA again")
        if not LEAST_STRENGTH <= use.strength <= MOST_STRENGTH:
            limits = f"{LEAST_STRENGTH:g} to {MOST_STRENGTH:g}"
            return _refused(use, f"can't have a strength of {use.strength:g}; give {limits}")
    return None


def settle(
    plan: Plan,
    request: TakeRequest,
    basis: Sequence[LoraUse],
    folder: Path,
    parts: Mapping[str, Path] | None = None,
    stays_packed: bool = True,
) -> Plan:
    """The plan with its LoRAs, for the model in `folder`; with a problem where one of them can't be used.

    `parts`: each part's own place, where not all are in `folder`. `stays_packed`: on the device, weights in fp8 or
    GGUF stay as they are, so that nothing can be added to them.

    `basis` is what the quality's few steps stand on (see `pair`). It comes first, as it was trained, and what a person
    adds leaves its steps and its guidance alone.
    """
    if plan.problem is not None or not (basis or request.loras):
        return plan
    try:
        places = Places(folder, parts)
        configs = transformer_configs(places)
        packed = stays_packed and packed_bytes(places) > 0
        with looking.guard(subject="what its transformer is "):
            by_part = {part: shapes(config) for part, config in configs.items()}
    except Refusal as refused:
        sentence = f"LoRAs can't be used with the model in {folder}: {refused.problem.sentence}"
        return dataclasses.replace(plan, problem=Problem(ProblemKind.BAD_LORA, sentence))
    except looking.Unlookable as why:
        sentence = f"LoRAs can't be used with the model in {folder} because {why}; choose another model."
        return dataclasses.replace(plan, problem=Problem(ProblemKind.BAD_LORA, sentence))
    uses: list[LoraUse] = []
    notes: list[str] = []
    if basis and plan.guidance_scale <= 1 and request.negative_prompt.strip():
        notes.append("These few steps work without guidance, so the negative prompt is not read.")
    for use in [*basis, *(use for use in request.loras if use.strength)]:
        try:
            with looking.guard(lora_file.Unusable, ""):
                uses += _settled(use, by_part, notes, packed)
        except looking.Unlookable as why:
            return dataclasses.replace(plan, problem=_refused(use, str(why)))
    return dataclasses.replace(plan, loras=uses, notes=[*plan.notes, *notes])


def pair(files: Sequence[str | Path]) -> list[LoraUse]:
    """One LoRA as it was trained: its file, or those for the two experts in the order in which they work."""
    if len(files) == 1:
        return [LoraUse(str(files[0]), expert=Expert.BOTH)]
    return [LoraUse(str(file), expert=expert) for file, expert in zip(files, EXPERTS.values(), strict=False)]


def transformer_configs(places: Places) -> dict[str, Mapping[str, Any]]:
    """The configuration of each of the model's transformers, by the part's name. Raises Refusal."""
    return {name: places.config(name) for name in EXPERTS if name == "transformer" or places.holds(name)}


def packed_bytes(places: Places) -> int:
    """The size of a transformer's file that has its weights in 8 bit or less; else 0. Raises Refusal."""
    file = places.file("transformer")
    return 0 if file is None or file.form.lower() in PLAIN_FORMS else headers.read(file.file).size_bytes


def parts_of(expert: Expert, parts: Collection[str]) -> list[str]:
    """The transformers that a LoRA for `expert` works on."""
    return [part for part in parts if len(parts) == 1 or expert in (Expert.AUTO, Expert.BOTH, EXPERTS[part])]


def _settled(use: LoraUse, by_part: Mapping[str, Shapes], notes: list[str], packed: bool) -> list[LoraUse]:
    """A use for each file, its expert known. Raises Unusable."""
    settled = []
    for file in lora_file.files_of(use.path):
        expert = use.expert
        if expert is Expert.AUTO:
            expert = Expert(lora_file.told_expert(file) or "both")
            if len(by_part) > 1 and expert is not Expert.BOTH:
                notes.append(f'The LoRA "{file.name}" works on the {expert.value}-noise expert, as its name says.')
        head = lora_file.read(file)
        for part in parts_of(expert, by_part):
            found = lora_fit.check(head, by_part[part])
            if packed:
                _check_packed(found, by_part[part])
        settled.append(LoraUse(str(file), use.strength, expert))
    return settled


def _check_packed(found: lora_fit.Content, shapes_here: Shapes) -> None:
    """Raise Unusable where something is added to a weight itself, and not beside it."""
    added = sorted(name for name in found.differences if "blocks." in name and len(shapes_here[name]) > 1)
    added = [name for name in added if name.endswith(".weight")]
    if added:
        raise lora_file.Unusable(
            f"adds to {added[0].removesuffix('.weight')} itself, which can't be done where the model's weights are in "
            "fp8 or GGUF; use the model in bf16 with it"
        )


def _refused(use: LoraUse, why: str) -> Problem:
    name = os.path.basename(use.path.rstrip("/\\")) or "without a path"
    fix = Fix("Leave it out", FixSetting.WITHOUT_LORA, use.path)
    return Problem(ProblemKind.BAD_LORA, f'The LoRA "{name[:100]}" {why}.', [fix])
