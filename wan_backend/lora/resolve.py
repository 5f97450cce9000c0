"""Resolves which LoRAs a take is made with, and checks them when it is planned.

Nothing is loaded: files are checked by their heads, models by their config.json.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalogue.transformer_shapes import Shapes, shapes
from ..library.component_files import ComponentFiles
from ..library.weights_head import read_head
from ..protocol.errors import Refusal
from ..protocol.messages import (
    MAX_LORAS,
    MAX_STRENGTH,
    MIN_STRENGTH,
    Expert,
    Fix,
    FixSetting,
    LoraUse,
    MatrixPrecision,
    Plan,
    Problem,
    ProblemKind,
    TakeRequest,
)
from ..protocol.sentences import Sentence, as_sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import fit, lora_experts
from .lora_head import LoraHead, UnusableLora, files_of, read_lora_head

PLAIN_FORMATS = ("bf16", "fp16", "fp32", "f16", "f32", "f64")
"""Number formats of weights that can be added to; those of the others stay quantized on a GPU."""
EXPERTS = {"transformer": Expert.HIGH, "transformer_2": Expert.LOW}
"""The expert that each transformer of a model with two is."""
EXPERTS_IN_WORDS = {Expert.HIGH: Sentence("high"), Expert.LOW: Sentence("low")}
"""As in "the high-noise expert"."""
EXPERT_FIXES = {
    Expert.HIGH: (Sentence("High Noise"), FixSetting.LORA_HIGH),
    Expert.LOW: (Sentence("Low Noise"), FixSetting.LORA_LOW),
    Expert.BOTH: (Sentence("Both Experts"), FixSetting.LORA_BOTH),
}
"""The button that answers for which expert a LoRA is."""


class _NeedsExactMatrices(UnusableLora):
    """A LoRA that can't be used with fast 8-bit matrices, and can with exact ones."""


@dataclass(frozen=True)
class _Model:
    """What LoRAs have to fit."""

    shapes: Mapping[str, Shapes]
    """The shapes of each transformer's parameters."""
    quantized: Mapping[str, frozenset[str]]
    """The weights of each transformer that nothing can be added to."""
    in_8_bit: bool = False
    """True if all matrices of the blocks are rounded for products in 8 bit."""

    @property
    def has_two(self) -> bool:
        """True for a Wan 2.2 A14B."""
        return len(self.shapes) > 1


def find_lora_problem(request: TakeRequest) -> Problem | None:
    """What is wrong with a request's LoRAs whatever the model, or None."""
    if len(request.loras) > MAX_LORAS:
        return Problem(
            ProblemKind.BAD_LORA,
            Sentence("{count} LoRAs are too many; use at most {most}.", count=len(request.loras), most=MAX_LORAS),
        )
    for use in request.loras:
        if not use.path or "\0" in use.path or not os.path.isabs(use.path):
            return _problem(use, Sentence("is not at its path; save the .blend file, or choose the LoRA again"))
        if not MIN_STRENGTH <= use.strength <= MAX_STRENGTH:
            return _problem(
                use,
                Sentence(
                    "can't have a strength of {strength}; give {minimum} to {maximum}",
                    strength=f"{use.strength:g}",
                    minimum=f"{MIN_STRENGTH:g}",
                    maximum=f"{MAX_STRENGTH:g}",
                ),
            )
    return None


def resolve_loras(
    plan: Plan,
    request: TakeRequest,
    basis: Sequence[LoraUse],
    folder: Path,
    components: Mapping[str, Path] | None = None,
    stays_quantized: bool = True,
    in_8_bit: bool = False,
) -> Plan:
    """The plan with its LoRAs, for the model in `folder`; with a problem if one of them can't be used.

    `components` has the file or folder of each, if not all are in `folder`. `stays_quantized`: on the device, weights
    in fp8 or GGUF stay as they are, so that nothing can be added to them; `in_8_bit`: so are those of all blocks, for
    products in 8 bit. `basis` are the LoRAs of a quality that has
    few steps (see `trained_uses`). They come first, as they were trained, and what a person adds leaves the steps and
    the guidance alone.
    """
    if plan.problem is not None or not (basis or request.loras):
        return plan
    try:
        files = ComponentFiles(folder, components)
        configs = transformer_configs(files)
        quantized = {name: _quantized_weights(files, name) for name in configs} if stays_quantized else {}
        with guarded_files.guard(subject=Sentence("what its transformer is {complaint}")):
            model = _Model({component: shapes(config) for component, config in configs.items()}, quantized, in_8_bit)
    except Refusal as refused:
        sentence = Sentence(
            "LoRAs can't be used with the model in {folder}: {problem}",
            folder=folder,
            problem=refused.problem.sentence,
        )
        return dataclasses.replace(plan, problem=Problem(ProblemKind.BAD_LORA, sentence))
    except UnusableFile as why:
        sentence = Sentence(
            "LoRAs can't be used with the model in {folder} because {why}; choose another model.",
            folder=folder,
            why=why,
        )
        return dataclasses.replace(plan, problem=Problem(ProblemKind.BAD_LORA, sentence))
    uses: list[LoraUse] = []
    notes: list[Sentence] = []
    if basis and plan.guidance_scale <= 1 and request.negative_prompt.strip():
        notes.append(Sentence("With so few steps there is no guidance, so the negative prompt is ignored."))
    for use in [*basis, *(use for use in request.loras if use.strength)]:
        try:
            with guarded_files.guard(UnusableLora, Sentence("{complaint}")):
                uses += _settled(use, model, notes)
        except UnusableFile as why:
            choices = why.choices if isinstance(why, UnusableLora) else ()
            problem = _problem(use, as_sentence(str(why)), choices)
            if isinstance(why, _NeedsExactMatrices):
                exact = Fix(Sentence("Use Exact Matrices"), FixSetting.MATRIX_PRECISION, MatrixPrecision.EXACT.value)
                problem = dataclasses.replace(problem, fixes=[exact, *problem.fixes])
            return dataclasses.replace(plan, problem=problem)
    return dataclasses.replace(plan, loras=uses, notes=[*plan.notes, *notes])


def trained_uses(files: Sequence[str | Path]) -> list[LoraUse]:
    """The uses of one LoRA as it was trained: its file, or one for each expert in the order in which they work."""
    if len(files) == 1:
        return [LoraUse(str(files[0]), expert=Expert.BOTH)]
    return [LoraUse(str(file), expert=expert) for file, expert in zip(files, EXPERTS.values(), strict=False)]


def transformer_configs(files: ComponentFiles) -> dict[str, Mapping[str, Any]]:
    """The configuration of each of the model's transformers, by the component's name. Raises Refusal."""
    return {name: files.config(name) for name in EXPERTS if name == "transformer" or files.has(name)}


def quantized_bytes(files: ComponentFiles) -> int:
    """The size of a transformer's files if its weights are in 8 bit or less; else 0. Raises Refusal."""
    file = files.file("transformer")
    if file is None or file.number_format.lower() in PLAIN_FORMATS:
        return 0
    return sum(read_head(each).size_bytes for each in file.files)


def transformers_of(expert: Expert, components: Collection[str]) -> list[str]:
    """The transformers that a LoRA for `expert` works on."""
    return [
        component
        for component in components
        if len(components) == 1 or expert in (Expert.AUTO, Expert.BOTH, EXPERTS[component])
    ]


def _settled(use: LoraUse, model: _Model, notes: list[Sentence]) -> list[LoraUse]:
    """A use for each file and expert. Raises UnusableLora."""
    settled: list[LoraUse] = []
    files = files_of(use.path)
    if len(files) > 1 and not model.has_two:
        raise UnusableLora(
            Sentence(
                "is a pair for the two experts of Wan 2.2 A14B, and this model has one transformer; "
                "choose one of its files"
            )
        )
    for file in files:
        head = read_lora_head(file)
        uses, clauses = _experts(use, file, head, model)
        skipped = set()
        for each in uses:
            for component in transformers_of(each.expert, model.shapes):
                expert = EXPERTS[component] if model.has_two else each.expert
                named = "" if expert is Expert.BOTH else expert.value
                found = fit.check_fit(head, model.shapes[component], named)
                _check_quantized(found, model.quantized.get(component, frozenset()))
                if model.in_8_bit:
                    _check_rounded(found, model.shapes[component])
                skipped.add(found.skipped_clause())
        sentences = [*clauses, *(Sentence("{clause}.", clause=clause) for clause in sorted(skipped - {""}))]
        notes += [Sentence('The LoRA "{file}" {clause}', file=file.name, clause=clause) for clause in sentences]
        settled += uses
    return settled


def _experts(use: LoraUse, file: Path, head: LoraHead, model: _Model) -> tuple[list[LoraUse], list[Sentence]]:
    """The uses that a file comes to, and what is said of them, to follow its name. Raises UnusableLora."""
    chosen = LoraUse(str(file), use.strength, use.expert)
    named = fit.named_experts(head)
    if use.expert in EXPERTS.values():
        only = Sentence(
            "works on the {expert}-noise expert only, as its Expert setting says.", expert=EXPERTS_IN_WORDS[use.expert]
        )
        return [chosen], [only] if len(named) > 1 else []
    both = dataclasses.replace(chosen, expert=Expert.BOTH)
    if not model.has_two and len(named) > 1:
        raise UnusableLora(
            Sentence(
                "holds a LoRA for each of the two experts of Wan 2.2 A14B, and this model has one "
                "transformer; choose High Noise or Low Noise as its Expert, to use only that one"
            ),
            [Expert.HIGH, Expert.LOW],
        )
    if not model.has_two:
        return [both], _notes_of_one(use, lora_experts.detect_expert(file, head.titles), named)
    if len(named) > 1:
        uses = [dataclasses.replace(chosen, expert=expert) for expert in EXPERTS.values()]
        return uses, [Sentence("holds layers for each of the two experts, and works on both.")]
    if use.expert is Expert.BOTH:
        return [both], []
    found = next(iter(named)) if named else lora_experts.detect_expert(file, head.titles)
    if found == lora_experts.UNSURE:
        raise UnusableLora(
            Sentence(
                "may be for one of the two experts or for both; its name doesn't say. Choose High Noise, "
                "Low Noise or Both as its Expert in the list of LoRAs"
            ),
            list(EXPERT_FIXES),
        )
    if not found:
        return [both], [
            Sentence("works on both experts, since its name mentions neither; set its Expert to change that.")
        ]
    expert = Expert(found)
    return [dataclasses.replace(chosen, expert=expert)], [
        Sentence("works on the {expert}-noise expert, as its layers say.", expert=EXPERTS_IN_WORDS[expert])
        if named
        else Sentence("works on the {expert}-noise expert, as its name says.", expert=EXPERTS_IN_WORDS[expert])
    ]


def _notes_of_one(use: LoraUse, detected: str, named: frozenset[str]) -> list[Sentence]:
    """What is said where a LoRA for one of two transformers is applied to a model with one."""
    expert = next(iter(named), detected)
    if use.expert is not Expert.AUTO or expert not in (Expert.HIGH, Expert.LOW):
        return []
    return [
        Sentence(
            "was made for the {expert}-noise expert of Wan 2.2 A14B; this model has one transformer, "
            "so it works on that.",
            expert=EXPERTS_IN_WORDS[Expert(expert)],
        )
    ]


def _check_quantized(found: fit.LoraContent, quantized: frozenset[str]) -> None:
    """Raise UnusableLora if something is added to a weight itself, and not beside it."""
    added = sorted(quantized.intersection(found.differences))
    if added:
        raise UnusableLora(
            Sentence(
                "adds to {weight} itself, which can't be done if the model's weights are in fp8 or GGUF; "
                "use the model in bf16 instead",
                weight=added[0].removesuffix(".weight"),
            )
        )


def _check_rounded(found: fit.LoraContent, shapes: Shapes) -> None:
    """Raise UnusableLora if something is added to a weight itself that is rounded to 8 bit."""
    added = sorted(name for name in found.differences if "blocks." in name and len(shapes[name]) == 2)
    if added:
        raise _NeedsExactMatrices(
            Sentence(
                "adds to {weight} itself, which can't be done with fast 8-bit matrices; use exact ones",
                weight=added[0].removesuffix(".weight"),
            )
        )


def is_packed_gguf(files: ComponentFiles) -> bool:
    """True for a transformer in a GGUF whose weights are packed. Raises Refusal."""
    file = files.file("transformer")
    return file is not None and file.file.suffix.lower() == ".gguf" and quantized_bytes(files) > 0


def _quantized_weights(files: ComponentFiles, component: str) -> frozenset[str]:
    """The matrices in a transformer's blocks that stay quantized on a GPU."""
    file = files.file(component)
    if file is None or file.number_format.lower() in PLAIN_FORMATS:
        return frozenset()
    return frozenset(
        name
        for name, tensor in file.stored().items()
        if "blocks." in name and name.endswith(".weight") and len(tensor.shape) > 1
        and tensor.dtype.lower() not in PLAIN_FORMATS
    )  # fmt: skip


def _problem(use: LoraUse, why: Sentence, choices: Sequence[Expert] = ()) -> Problem:
    name = os.path.basename(use.path.rstrip("/\\")) or Sentence("without a path")
    answers = [Fix(words, setting, use.path) for words, setting in map(EXPERT_FIXES.__getitem__, choices)]
    leave = Fix(Sentence("Remove It"), FixSetting.WITHOUT_LORA, use.path)
    return Problem(
        ProblemKind.BAD_LORA, Sentence('The LoRA "{name}" {why}.', name=name[:100], why=why), [*answers, leave]
    )
