"""Composes a model of the catalogue from components that lie in several places."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalogue.architecture import Architecture
from ..catalogue.entries import ModelEntry
from ..protocol.messages import Fix, FixAction
from ..protocol.sentences import NO_SENTENCE, Sentence
from . import a14b_experts, control_modules
from .recognize import Candidate
from .survey import Survey

NUMBER_FORMATS = (
    "", "bf16", "fp16", "fp32", Sentence("fp8 scaled"), "int8", "Q8_0", "Q6_K", "fp8", "Q5_K", "Q5_1", "Q5_0", "Q4_K",
    "Q4_1", "Q4_0",
)  # fmt: skip
"""Number formats, those that lose least first; all others come after them."""
VARIANTS = re.compile(
    r"distill|fastwan|lightx2v|lightning|fusioni?x|causvid|accvid|turbo|rapid|self.?forcing|\dsteps?|skyreels|phantom|fun"
    r"|hunyuan|lightvae|upscale|wan[^a-z]?alpha|rgb[^a-z]?channel"
)
"""Words in the names of models that were trained further; of two that fit, the one without them is the model itself."""
BOUNDARY_RATIOS = {Architecture.TEXT: 0.875, Architecture.PICTURES: 0.9}
"""The share of the noise above which the high-noise expert of a Wan 2.2 A14B works, as its authors say."""
VAE_FILES = {Architecture.FIRST_LATENT: "wan2.2_vae.safetensors", None: "wan_2.1_vae.safetensors"}
"""The autoencoder's usual file for an architecture; None stands for all others."""
WHAT_TO_GET = {
    "text_encoder": Sentence(
        "a UMT5-XXL text encoder; put umt5_xxl_fp8_e4m3fn_scaled.safetensors into 'text_encoders'"
    ),
    "vae": Sentence("the autoencoder that goes with it; put {vae} into 'vae'"),
    "image_encoder": Sentence("the image encoder; put clip_vision_h.safetensors into 'clip_vision'"),
    "transformer": Sentence("the high-noise expert; put it beside the other"),
    "transformer_2": Sentence("the low-noise expert; put it beside the other"),
}
ANSWERS = {
    FixAction.TRANSFORMER_WHOLE: Sentence("It Is a Whole Model"),
    FixAction.TRANSFORMER_HIGH: Sentence("It Is the High-Noise Expert"),
    FixAction.TRANSFORMER_LOW: Sentence("It Is the Low-Noise Expert"),
}
"""The buttons that say what a transformer is."""
TOKENIZER_REPO = "Wan-AI/Wan2.1-VACE-1.3B-diffusers"
SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
}
"""The scheduler's configuration in Wan's own checkpoints; the shift is set for each take."""


@dataclass(frozen=True)
class ComposedModel:
    """A model whose components were all found."""

    components: Mapping[str, Path]
    """The file or folder of each component, "tokenizer" among them."""
    sentence: Sentence
    others: list[str] = field(default_factory=list)
    """Files that would do for the transformer, too."""
    answered: list[Path] = field(default_factory=list)
    """Transformers of which a person said what they are."""


@dataclass(frozen=True)
class IncompleteModel:
    """A model whose transformer is here but can't be used, or that lacks another component."""

    sentence: Sentence
    """It says what to get or to do."""
    fixes: tuple[Fix, ...] = ()
    """The buttons that answer what the sentence asks."""


def compose_model(
    entry: ModelEntry, survey: Survey, entries: Iterable[ModelEntry]
) -> ComposedModel | IncompleteModel | None:
    """The model of components that were found; None if its transformer isn't here. `entries` are all models."""
    known, here = list(entries), [*survey.of("transformer"), *control_modules.joined(survey)]
    fitting = [found for found in here if _fits(entry, found, known)]
    transformers = _choose_transformers(entry, fitting, survey)
    if transformers is None or isinstance(transformers, IncompleteModel):
        unusable = [found for found in survey.unusable if _has_same_shape(entry, found)]
        return _unusable(entry, unusable) or transformers or _control_alone(entry, survey, known)
    chosen = dict(transformers)
    first = next(iter(chosen.values()))
    for component, test in _needed_components(first).items():
        found = _best(candidate for candidate in survey.of(component) if test(candidate.config))
        if found is None:
            vae = VAE_FILES.get(first.architecture, VAE_FILES[None])
            return _lacks(entry, first, WHAT_TO_GET[component].with_values(vae=vae))
        chosen[component] = found
    tokenizer = _tokenizer(chosen["text_encoder"].path, survey.tokenizers)
    if tokenizer is None:
        return _lacks(
            entry,
            first,
            Sentence(
                "the text encoder's tokenizer (20 MB); download it with '{command}'",
                command=_tokenizer_command(),
            ),
        )
    modules = {control_modules.MODULE_OF[name]: found.control for name, found in chosen.items() if found.control}
    used = list(chosen.values())
    chosen |= modules
    components = {component: found.path for component, found in chosen.items()} | {"tokenizer": tokenizer}
    others = control_modules.names(found for found in fitting if found not in used)
    answered = [found.path for found in chosen.values() if found.is_answered]
    return ComposedModel(components, _sentence(chosen), others, answered)


def why_unused(found: Candidate, survey: Survey, entries: Iterable[ModelEntry]) -> Sentence:
    """Why no model is made up of a single file's transformer, as a clause; empty where one may be.

    It may lack another component all the same: then the model's own row says so.
    """
    known = list(entries)
    if found.component == "control":
        return control_modules.why_unused(found, survey)
    if found.component != "transformer":
        return NO_SENTENCE
    users = [entry for entry in known if _fits(entry, found, known)]
    if not users:
        layers, heads = (found.config.get(name) for name in ("num_layers", "num_attention_heads"))
        return Sentence(
            "no model that this version knows has {layers} layers of {heads} heads and its inputs; choose another",
            layers=layers,
            heads=heads,
        )
    if not found.expert:
        return NO_SENTENCE
    others = [other for other in survey.of("transformer") if other.expert == a14b_experts.OTHER.get(found.expert)]
    if any(_fits(entry, other, known) for entry in users for other in others):
        return NO_SENTENCE
    lacking = "transformer_2" if found.expert == a14b_experts.HIGH else "transformer"
    return Sentence(
        "it is half of {model}, and this machine lacks {what}",
        model=users[0].label,
        what=WHAT_TO_GET[lacking],
    )


def index_of(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What model_index.json would say of components of these configurations."""
    index: dict[str, Any] = {
        component: [
            "transformers" if component in ("text_encoder", "image_encoder") else "diffusers",
            _class_of(config),
        ]
        for component, config in configs.items()
    }
    transformer = configs["transformer"]
    index["_class_name"] = "WanPipeline"
    index["expand_timesteps"] = transformer.get("in_channels") == transformer.get("out_channels") == 48
    if "transformer_2" in configs:
        index["boundary_ratio"] = BOUNDARY_RATIOS[
            Architecture.TEXT if transformer.get("in_channels") == 16 else Architecture.PICTURES
        ]
    return index


def has_two_experts(entry: ModelEntry) -> bool:
    """True for Wan 2.2's A14B, which is two transformers."""
    return entry.weights.experts == 2


def _class_of(config: Mapping[str, Any]) -> str:
    named = config.get("_class_name") or (config.get("architectures") or [""])[0]
    return str(named).removesuffix("WithProjection")


def _fits(entry: ModelEntry, found: Candidate, entries: list[ModelEntry]) -> bool:
    """Whether a transformer is this model's, and no other model's of the same shape, by its name."""
    if not _has_same_shape(entry, found):
        return False
    alike = [other for other in entries if _has_same_shape(other, found)]
    # A merger of both experts is run as the model of one transformer that has this shape, if there is one.
    is_expert = bool(found.expert) or all(has_two_experts(other) for other in alike)
    alike = [other for other in alike if has_two_experts(other) == is_expert]
    words = _words(_name_of(found.path).lower())
    on_trunks = [other for other in alike if other.trunk]
    if made_on := [other for other in on_trunks if _words_of_trunk(other, entries) & words]:
        return entry in made_on
    alike = [other for other in alike if other not in on_trunks]
    if len(alike) < 2:
        return entry in alike
    marks = {other.id: len(_own_words(other, alike) & words) for other in alike}
    return max(alike, key=lambda other: marks[other.id]).id == entry.id


def _unusable(entry: ModelEntry, alike: list[Candidate]) -> IncompleteModel | None:
    """Why none of the transformers of the model's shape can be used, if that is worth a sentence.

    They are experts of a Wan 2.2, or may be.
    """
    two = has_two_experts(entry)
    wanted = a14b_experts.ASKED if two else (a14b_experts.UNKNOWN_VERSION,)
    found = next((candidate for candidate in alike if candidate.expert in wanted), None)
    if found is None:
        return None
    if not two:
        sentence = Sentence(
            "{model}: {file} may be it, or one expert of a Wan 2.2, and no name says which; say which, or put 'wan2.1' "
            "into its name, or 'high_noise' or 'low_noise'."
        )
    elif found.expert == a14b_experts.UNKNOWN_EXPERT:
        sentence = Sentence(
            "{model}: {file} is one of its experts, and nothing says which; say which, or put 'high_noise' or "
            "'low_noise' into its name ('wan2.1' where it is a whole model)."
        )
    else:
        sentence = Sentence(
            "{model}: {file} may be one of its experts, and no name says which; say which, or put 'high_noise' or "
            "'low_noise' into its name ('wan2.1' where it is a whole model)."
        )
    return IncompleteModel(sentence.with_values(model=entry.label, file=found.path), _answers(found))


def _answers(found: Candidate) -> tuple[Fix, ...]:
    """The buttons that say what a transformer is."""
    return tuple(Fix(words, value=str(found.path), action=action) for action, words in ANSWERS.items())


def download_trunk(trunk: ModelEntry) -> Fix:
    """The button that downloads the transformer of a model that is put together."""
    return Fix(Sentence("Download {model}...", model=trunk.label), action=FixAction.DOWNLOAD, value=trunk.id)


def _control_alone(entry: ModelEntry, survey: Survey, entries: list[ModelEntry]) -> IncompleteModel | None:
    """The model of which only control in a file of its own is here; None if not even that is."""
    if entry.architecture is not Architecture.CONTROL:
        return None
    heads = entry.weights.heads
    module = control_modules.module_for(entry.weights.experts, entry.weights.layers, heads, survey)
    if module is None:
        return None
    if entry.trunk:
        trunk = next(other for other in entries if other.id == entry.trunk)
        sentence = Sentence(
            "{model}: its control is {file}, but this machine lacks {trunk}, which is its transformer; download that.",
            model=entry.label,
            file=module.path,
            trunk=trunk.label,
        )
        return IncompleteModel(sentence, (download_trunk(trunk),))
    return IncompleteModel(
        Sentence(
            "{model}: its control is {file}, but this machine lacks {what}.",
            model=entry.label,
            file=module.path,
            what=control_modules.lacking(module.expert, heads, survey),
        )
    )


def _has_same_shape(entry: ModelEntry, found: Candidate) -> bool:
    shape = found.config.get("num_layers"), found.config.get("num_attention_heads")
    return entry.architecture is found.architecture and shape == (entry.weights.layers, entry.weights.heads)


def _name_of(path: Path) -> str:
    """The name of a file with that of its folder; of a folder in the cache of Hugging Face, the repository's too."""
    repos = [part for part in path.parts if part.startswith("models--")]
    return " ".join((*repos, path.parent.name, path.stem))


def _words_of_trunk(entry: ModelEntry, entries: list[ModelEntry]) -> set[str]:
    """Words of the name of an entry's trunk that other models of the trunk's shape don't have."""
    trunk = next(other for other in entries if other.id == entry.trunk)
    shape = trunk.architecture, trunk.weights.layers, trunk.weights.heads
    alike = [other for other in entries if (other.architecture, other.weights.layers, other.weights.heads) == shape]
    return _own_words(trunk, alike)


def _own_words(entry: ModelEntry, alike: list[ModelEntry]) -> set[str]:
    """Words of its name that the others of the same shape don't have."""
    shared = set.intersection(*(_words(f"{other.id} {other.repo}".lower()) for other in alike))
    return _words(f"{entry.id} {entry.repo}".lower()) - shared


def _words(name: str) -> set[str]:
    return set(re.findall(r"\d+\.\d+|\d+p|[a-z]*\d+b|[a-z]\d+v|[a-z]+", name.replace("_", " ")))


def _choose_transformers(
    entry: ModelEntry, fitting: list[Candidate], survey: Survey
) -> Mapping[str, Candidate] | IncompleteModel | None:
    """The model's transformer, or its two experts; None if none is here."""
    if not fitting:
        return None
    if not has_two_experts(entry):
        best = _best(fitting)
        return None if best is None else {"transformer": best}
    highs = [found for found in fitting if found.expert == a14b_experts.HIGH]
    lows = [found for found in fitting if found.expert == a14b_experts.LOW]
    merged = _best(found for found in fitting if not found.expert)
    if highs and lows:
        high, low = min(((high, low) for high in highs for low in lows), key=_rank_of_two)
        return {"transformer": high, "transformer_2": low}
    if merged is not None:
        return {"transformer": merged}
    lacking = a14b_experts.LOW if highs else a14b_experts.HIGH
    if fitting[0].control is not None:
        return _lacks(entry, fitting[0], control_modules.lacking(lacking, entry.weights.heads, survey))
    return _lacks(entry, fitting[0], WHAT_TO_GET["transformer_2" if highs else "transformer"])


def _rank_of_two(pair: tuple[Candidate, Candidate]) -> tuple[Any, ...]:
    """Whole files come first, then the models themselves, then two of one maker, then those that lose least."""
    ranks = [_rank(expert) for expert in pair]
    joined, variants, formats, names = zip(*ranks, strict=True)
    return sum(joined), sum(variants), not a14b_experts.are_partners(*pair), sum(formats), names


def _best(candidates: Iterable[Candidate]) -> Candidate | None:
    return min(candidates, key=_rank, default=None)


def _rank(candidate: Candidate) -> tuple[bool, int, int, str]:
    """What is whole comes before what is joined of two files, of which each counts."""
    rank = (
        NUMBER_FORMATS.index(candidate.number_format)
        if candidate.number_format in NUMBER_FORMATS
        else len(NUMBER_FORMATS)
    )
    variant, name = int(bool(VARIANTS.search(candidate.path.stem.lower()))), str(candidate.path)
    if candidate.control is None:
        return False, variant, rank, name
    _, variant_2, rank_2, name_2 = _rank(candidate.control)
    return True, variant + variant_2, rank + rank_2, f"{name} {name_2}"


def _needed_components(transformer: Candidate) -> dict[str, Callable[[Mapping[str, Any]], bool]]:
    """Each other component, and a test whether its configuration goes with the transformer."""
    config = transformer.config
    latent = 48 if transformer.architecture is Architecture.FIRST_LATENT else 16
    needed: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "text_encoder": lambda found: found.get("d_model") == config.get("text_dim", 4096),
        "vae": lambda found: found.get("z_dim", 16) == latent,
    }
    if transformer.architecture is not None and transformer.architecture.looks_at_pictures:
        needed["image_encoder"] = lambda found: found.get("hidden_size") == config.get("image_dim")
    return needed


def _tokenizer(text_encoder: Path, tokenizers: tuple[Path, ...]) -> Path | None:
    """The tokenizer that lies beside the text encoder, else any."""
    beside = (text_encoder, text_encoder.parent / "tokenizer")
    return next((place for place in (*beside, *tokenizers) if place in tokenizers), None)


def _lacks(entry: ModelEntry, transformer: Candidate, what: Sentence) -> IncompleteModel:
    return IncompleteModel(
        Sentence(
            "{model}: its transformer is {transformer}, but this machine lacks {what}.",
            model=entry.label,
            transformer=transformer.path,
            what=what,
        )
    )


def _sentence(chosen: Mapping[str, Candidate]) -> Sentence:
    """The folder that all of them are in, and what each is called there."""
    try:
        home = os.path.commonpath([found.path.parent for found in chosen.values()])
    except ValueError:  # on several drives
        home = ""
    names = []
    for found in chosen.values():
        name = os.path.relpath(found.path, home) if home else str(found.path)
        names.append(f"{name} ({found.number_format})" if found.number_format else name)
    if home:
        return Sentence("Made up of {files} in {folder}.", files=", ".join(names), folder=home)
    return Sentence("Made up of {files}.", files=", ".join(names))


def _tokenizer_command() -> str:
    """The command that fetches a tokenizer alone; it comes with the backend's Python."""
    hub = Path(sys.executable).with_name("hf")
    return f"{hub} download {TOKENIZER_REPO} --include 'tokenizer/*'"
