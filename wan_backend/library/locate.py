"""Locates a model's files on this machine.

These are looked at in order: the folder that comes with the package; every models folder (itself, its subfolder named
by the model's id, its subfolder named as the repository, and as a cache of Hugging Face); the Hugging Face cache. If
none of them has the whole model, it is composed of components that lie in files and folders of their own (`compose`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalogue import entries
from ..catalogue.architecture import Architecture, boundary_ratio, detect_architecture
from ..catalogue.entries import PACKAGE, LoraEntry, ModelEntry
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import guarded_files, unresponsive_folders
from ..storage.byte_sizes import size_in_words
from ..storage.disk_errors import reason
from ..storage.guarded_files import UnusableFile
from . import compose, control_modules, integrity, renderer_folders
from .hub_cache import cache_folder, find_snapshots
from .survey import Survey


@dataclass(frozen=True)
class LocatedModel:
    """A model that is here and whole."""

    folder: Path
    """The model's folder; if it is composed, that of its transformer."""
    components: dict[str, Path] = field(default_factory=dict)
    """The file or folder of each component; empty if all are in `folder`."""
    words: Sentence = NO_SENTENCE
    """Where it was found, in a sentence; empty if `folder` says it."""
    answered: list[Path] = field(default_factory=list)
    """Transformers of which a person said what they are."""

    @property
    def sentence(self) -> Sentence:
        """Where it was found."""
        return self.words or Sentence("In {folder}.", folder=self.folder)


@dataclass(frozen=True)
class UnavailableModel:
    """A model that can't be used; `problem` says what to do."""

    problem: Problem


def find(
    entry: ModelEntry, models_folders: Iterable[str | Path] = (), survey: Survey | None = None
) -> LocatedModel | UnavailableModel:
    """The first whole folder of the model, else its components; if it isn't here, the reason and what to do.

    `survey` is what is known of single files.
    """
    complaints: list[Sentence] = []
    broken: UnavailableModel | None = None
    for folder in () if entry.transformer_files else _candidates(entry, models_folders, complaints):
        try:
            with guarded_files.guard():
                _check_kind(entry, folder)
                integrity.check(folder)
            return LocatedModel(folder)
        except UnusableFile as why:
            broken = broken or _broken(entry, folder, why)
    survey = survey or Survey()
    return _composed(entry, survey) or broken or _missing(entry, complaints, survey)


def accepts_lora(found: LocatedModel | UnavailableModel, lora: LoraEntry) -> bool:
    """False for a LoRA for two experts on a model whose two experts were merged into one."""
    if isinstance(found, UnavailableModel) or not found.components:
        return True
    return len(lora.files) == (2 if "transformer_2" in found.components else 1)


def is_model(folder: Path) -> bool:
    """True for a folder that is one model itself."""
    names = {name for name in ("model_index.json", renderer_folders.CONFIG_FILE) if (folder / name).is_file()}
    return "model_index.json" in names or _is_renderer(folder, names)


def packaged(entry: ModelEntry) -> LocatedModel | None:
    """The model if it comes with the package; no other place is looked at."""
    if not entry.package_folder:
        return None
    try:
        with guarded_files.guard():
            integrity.check(PACKAGE / entry.package_folder)
    except UnusableFile:
        return None
    return LocatedModel(PACKAGE / entry.package_folder)


def _composed(entry: ModelEntry, survey: Survey) -> LocatedModel | UnavailableModel | None:
    """The model composed of single components; None if its transformer isn't here."""
    made = compose.compose_model(entry, survey, entries.load().models.values())
    if isinstance(made, compose.IncompleteModel):
        return UnavailableModel(Problem(ProblemKind.MODEL_MISSING, made.sentence, list(made.fixes)))
    if made is None:
        return None
    sentences, others = [made.sentence], ", ".join(made.others[:3])
    if len(made.others) > 3:
        count = len(made.others) - 3
        sentences.append(Sentence("Also here: {files} and {count} more.", files=others, count=count))
    elif others:
        sentences.append(Sentence("Also here: {files}.", files=others))
    words = Sentence.joined(sentences)
    return LocatedModel(made.components["transformer"].parent, dict(made.components), words, made.answered)


def snapshots() -> list[Path]:
    """The folders of models in the Hugging Face cache that may lend a component.

    There is one for each model, its newest whole snapshot; all snapshots of a model that has no whole one.
    """
    if unresponsive_folders.containing(cache_folder()):
        return []
    try:
        homes = sorted(home for home in cache_folder().iterdir() if home.name.startswith("models--"))
    except OSError:
        return []
    found = []
    for home in homes:
        here = find_snapshots(cache_folder(), home.name.removeprefix("models--").replace("--", "/", 1))
        whole = next((snapshot for snapshot in here if _is_whole(snapshot)), None)
        found += here if whole is None else [whole]
    return found


def downloaded_files(models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """The transformers of models that are put together, as they were downloaded: each a file of its own."""
    caches = [Path(folder) for folder in (*models_folders, cache_folder()) if folder]
    caches = [cache for cache in dict.fromkeys(caches) if not unresponsive_folders.containing(cache)]
    entries_of_files = [entry for entry in entries.load().models.values() if entry.transformer_files]
    places = (
        snapshot / name
        for entry in entries_of_files
        for cache in caches
        for snapshot in find_snapshots(cache, entry.repo)
        for name in entry.transformer_files
    )
    return [place for place in dict.fromkeys(places) if place.is_file()]


def _is_whole(snapshot: Path) -> bool:
    try:
        with guarded_files.guard():
            integrity.check(snapshot)
    except UnusableFile:
        return False
    return True


def _candidates(entry: ModelEntry, folders: Iterable[str | Path], complaints: list[Sentence]) -> Iterator[Path]:
    if entry.package_folder and (PACKAGE / entry.package_folder / "model_index.json").is_file():
        yield PACKAGE / entry.package_folder
    for folder in map(Path, folders):
        if silent := unresponsive_folders.containing(folder):
            complaints.append(
                Sentence("{fault}, so its contents are not known.", fault=unresponsive_folders.describe(silent))
            )
            continue
        try:
            yield from _in_models_folder(entry, folder)
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else Sentence("not a path")
            complaints.append(
                Sentence(
                    "The models folder {folder} can't be read ({why}); choose another in the preferences.",
                    folder=folder,
                    why=why,
                )
            )
    if entry.repo:
        if silent := unresponsive_folders.containing(cache_folder()):
            complaints.append(
                Sentence("{fault}, so its contents are not known.", fault=unresponsive_folders.describe(silent))
            )
        yield from find_snapshots(cache_folder(), entry.repo)


def _in_models_folder(entry: ModelEntry, folder: Path) -> list[Path]:
    names = {entry.id, entry.repo.rpartition("/")[2]} - {""}
    held = {child.name for child in folder.iterdir()}
    if "model_index.json" in held or _is_renderer(folder, held):
        return [folder] if folder.name in names or _looks_like(entry, folder) else []
    named = [folder / name for name in sorted(names & held) if _is_folder(folder / name)]
    return [*named, *(find_snapshots(folder, entry.repo) if entry.repo else [])]


def _is_renderer(folder: Path, held: set[str]) -> bool:
    """Whether it is Bernini-R's folder, which needs no model_index.json."""
    try:
        return renderer_folders.CONFIG_FILE in held and renderer_folders.index_of_folder(folder) is not None
    except (UnusableFile, OSError):  # what else lies in the folder is found all the same
        return False


def _is_folder(place: Path) -> bool:
    return not unresponsive_folders.containing(place) and place.is_dir()


def _looks_like(entry: ModelEntry, folder: Path) -> bool:
    """Whether a folder of any name holds this model, by its class, its transformer's shape and its architecture.

    That can't tell twins apart, which have one shape and were trained at other sizes, as Wan 2.1's two I2V.
    """
    try:
        with guarded_files.guard():
            _check_kind(entry, folder)
    except UnusableFile:
        return False
    return entry.weights.layers > 0 and not entry.twin


def _check_kind(entry: ModelEntry, folder: Path) -> None:
    """Raise UnusableFile if the folder holds another model."""
    index = integrity.read_index(folder)
    found = index.get("_class_name")
    if found not in entry.pipelines:
        raise UnusableFile(Sentence("it holds a {found}, which is not this model", found=str(found)[:60]))
    if not entry.weights.layers:
        return
    try:
        config = _config(folder, "transformer")
        shape = int(config["num_layers"]), int(config["num_attention_heads"])
        vae = _config(folder, "vae")
        image_encoder = _config(folder, "image_encoder") if (folder / "image_encoder").is_dir() else None
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return  # the check of its files says better what is missing
    if shape != (entry.weights.layers, entry.weights.heads):
        raise UnusableFile(
            Sentence(
                "its transformer has {layers} layers of {heads} heads, so it is a different model",
                layers=shape[0],
                heads=shape[1],
            )
        )
    architecture = detect_architecture(index, config, vae, image_encoder)
    experts = 1 if boundary_ratio(index) is None else 2
    if entry.architecture is not None and architecture is not entry.architecture:
        raise UnusableFile(
            Sentence("it holds a model that makes {what}, which is a different model", what=architecture.words)
        )
    if experts != entry.weights.experts:
        raise UnusableFile(
            Sentence("it has two transformers, so it is a different model")
            if experts == 2
            else Sentence("it has one transformer, so it is a different model")
        )


def _config(folder: Path, component: str) -> dict[str, Any]:
    """The component's config.json. Raises OSError or ValueError."""
    config = guarded_files.read_json(folder / component / "config.json")
    if not isinstance(config, dict):
        raise ValueError(f"{component}/config.json is not an object")
    return config


def _broken(entry: ModelEntry, folder: Path, why: UnusableFile) -> UnavailableModel:
    if guarded_files.is_out_of_memory(why.__cause__):
        sentence = Sentence(
            "{model} in {folder} can't be used now because {why}; close other programs, then try again.",
            model=entry.label,
            folder=folder,
            why=why,
        )
        return UnavailableModel(Problem(ProblemKind.OUT_OF_MEMORY, sentence))
    fix = Sentence("download it again") if entry.repo else Sentence("install the backend again")
    if entry.repo and folder.parent.name != "snapshots":
        fix = Sentence("copy the model there again, or choose another models folder in the preferences")
    return UnavailableModel(
        Problem(
            ProblemKind.MODEL_BROKEN,
            Sentence(
                "{model} in {folder} can't be used because {why}; {fix}.",
                model=entry.label,
                folder=folder,
                why=why,
                fix=fix,
            ),
        )
    )


def download_command(model_id: str) -> str:
    """What a person types to fetch a model, with the Python that runs this: others don't have the backend."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{python} -m wan_backend models --download {model_id}"


def _missing(entry: ModelEntry, complaints: list[Sentence], survey: Survey) -> UnavailableModel:
    if complaints:
        return UnavailableModel(
            Problem(
                ProblemKind.MODEL_MISSING,
                Sentence("{model} is not here. {reason}", model=entry.label, reason=complaints[0]),
            )
        )
    if entry.trunk:
        return UnavailableModel(put_together(entry))
    if not entry.repo:
        return UnavailableModel(
            Problem(
                ProblemKind.MODEL_MISSING,
                Sentence("{model} is not in this backend; install the backend again.", model=entry.label),
            )
        )
    sentence = Sentence(
        "{model} is not on this machine; download it ({size}), or choose the models folder that has it in the "
        "preferences.",
        model=entry.label,
        size=size_in_words(entry.download_bytes),
    )
    return UnavailableModel(
        Problem(ProblemKind.MODEL_MISSING, Sentence.joined([sentence, *_maybe_renamed(entry, survey)]))
    )


def _maybe_renamed(entry: ModelEntry, survey: Survey) -> list[Sentence]:
    """Of a model that only its name tells from text to video: which file may be it, as far as its tensors say."""
    if entry.architecture is not Architecture.EDIT:
        return []
    alike = (
        each.path.name
        for each in survey.of("transformer")
        if each.architecture is Architecture.TEXT
        and each.path.suffix
        and each.config["num_attention_heads"] == entry.weights.heads
    )
    file = next(alike, "")
    if not file:
        return []
    return [
        Sentence("If {file} is it, put 'bernini_r' into its name: its tensors are those of text to video.", file=file)
    ]


def put_together(entry: ModelEntry) -> Problem:
    """The problem that a model of a trunk and control in a file of its own isn't here, with what to get."""
    sentence = Sentence(
        "{model} is put together of two: {trunk}, download it ({size}), and {file}, which is the control (VACE); put "
        "that into 'diffusion_models' of the models folder.",
        model=entry.label,
        trunk=entries.entry(entry.trunk).label,
        size=size_in_words(entries.entry(entry.trunk).download_bytes),
        file=control_modules.MODULE_FILES[entry.weights.heads, ""],
    )
    return Problem(ProblemKind.MODEL_MISSING, sentence, [compose.download_trunk(entries.entry(entry.trunk))])
