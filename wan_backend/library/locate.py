"""Where a model's files are on this machine. Standard library and protocol only; no torch, and nothing is fetched.

Looked at in this order: the folder that comes with the package, every models folder (itself, its subfolder named by
the model's id, its subfolder named as the repository, and as a cache of Hugging Face), the Hugging Face cache; and
where none of these has the whole model, the parts of it that lie in files and folders of their own (see `files`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalogue import entries
from ..catalogue.architecture import Unfit, boundary, told
from ..catalogue.entries import PACKAGE, LoraEntry, ModelEntry
from ..protocol.messages import Problem, ProblemKind
from ..storage import guarded_files, unresponsive_places
from ..storage.media_folder import reason, size_in_words
from . import compose, integrity
from .survey import Survey

MOST_NAME_BYTES = 1000
"""Of a commit's name."""


@dataclass(frozen=True)
class LocatedModel:
    """The model is here and whole."""

    folder: Path
    """Of the model; where it is put together of parts, of its transformer."""
    components: dict[str, Path] = field(default_factory=dict)
    """Where each part is; empty where all are in `folder`."""
    words: str = ""
    """Where it was found, in a sentence."""

    @property
    def sentence(self) -> str:
        """Where it was found."""
        return self.words or f"In {self.folder}."


@dataclass(frozen=True)
class UnavailableModel:
    """The model can't be used; `problem` says what to do. Its kind is model_missing or model_broken."""

    problem: Problem


def find(
    entry: ModelEntry, models_folders: Iterable[str | Path] = (), survey: Survey | None = None
) -> LocatedModel | UnavailableModel:
    """The first whole folder of the model, else its parts; where it isn't here, what comes nearest and what it lacks.

    `survey` is what is known of single files.
    """
    complaints: list[str] = []
    broken: UnavailableModel | None = None
    for folder in _candidates(entry, models_folders, complaints):
        try:
            with guarded_files.guard(integrity.NotWhole):
                _check_kind(entry, folder)
                integrity.check(folder)
            return LocatedModel(folder)
        except guarded_files.Unlookable as why:
            broken = broken or _broken(entry, folder, why)
    return _assembled(entry, survey or Survey()) or broken or _missing(entry, complaints)


def accepts_lora(found: LocatedModel | UnavailableModel, lora: LoraEntry) -> bool:
    """False where a LoRA for two experts meets a model whose two were made one file."""
    if isinstance(found, UnavailableModel) or not found.components:
        return True
    return len(lora.files) == (2 if "transformer_2" in found.components else 1)


def packaged(entry: ModelEntry) -> LocatedModel | None:
    """The model where it comes with the package; no other place is looked at."""
    if not entry.package_folder:
        return None
    try:
        with guarded_files.guard():
            integrity.check(PACKAGE / entry.package_folder)
    except guarded_files.Unlookable:
        return None
    return LocatedModel(PACKAGE / entry.package_folder)


def _assembled(entry: ModelEntry, survey: Survey) -> LocatedModel | UnavailableModel | None:
    """The model put together of parts; None where nothing of it is here but what any model has."""
    try:
        made = compose.assemble(entry, survey, entries.load().models.values())
    except compose.Incomplete as why:
        return UnavailableModel(Problem(ProblemKind.MODEL_MISSING, str(why)))
    if made is None:
        return None
    more = f" and {len(made.others) - 3} more" if len(made.others) > 3 else ""
    others = f" Also here: {', '.join(made.others[:3])}{more}." if made.others else ""
    return LocatedModel(made.components["transformer"].parent, dict(made.components), made.sentence + others)


def snapshots() -> list[Path]:
    """The folders of models in the Hugging Face cache that may lend a part: of each the newest whole one, else all."""
    if unresponsive_places.place_of(hub_cache()):
        return []
    try:
        homes = sorted(home for home in hub_cache().iterdir() if home.name.startswith("models--"))
    except OSError:
        return []
    found = []
    for home in homes:
        here = find_snapshots(hub_cache(), home.name.removeprefix("models--").replace("--", "/", 1))
        whole = next((snapshot for snapshot in here if _is_whole(snapshot)), None)
        found += here if whole is None else [whole]
    return found


def _is_whole(snapshot: Path) -> bool:
    try:
        with guarded_files.guard():
            integrity.check(snapshot)
    except guarded_files.Unlookable:
        return False
    return True


def hub_cache() -> Path:
    """The folder of the Hugging Face cache, by the environment variables that its own library reads."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return _expanded(os.environ[name])
    home = os.environ.get("HF_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return _expanded(str(_expanded(home) / "hub"))  # twice, as theirs: a variable may hold another, or a ~


def _expanded(folder: str) -> Path:
    """A folder in which variables and ~ may stand, as Hugging Face's own library reads it."""
    return Path(os.path.expandvars(os.path.expanduser(folder)))


def _candidates(entry: ModelEntry, folders: Iterable[str | Path], complaints: list[str]) -> Iterator[Path]:
    if entry.package_folder and (PACKAGE / entry.package_folder / "model_index.json").is_file():
        yield PACKAGE / entry.package_folder
    for folder in map(Path, folders):
        if silent := unresponsive_places.place_of(folder):
            complaints.append(f"{unresponsive_places.told(silent)}, so nobody knows what is in it.")
            continue
        try:
            yield from _in_models_folder(entry, folder)
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else "not a path"
            complaints.append(f"The models folder {folder} can't be read ({why}); choose another in the preferences.")
    if entry.repo:
        if silent := unresponsive_places.place_of(hub_cache()):
            complaints.append(f"{unresponsive_places.told(silent)}, so nobody knows what is in it.")
        yield from find_snapshots(hub_cache(), entry.repo)


def _in_models_folder(entry: ModelEntry, folder: Path) -> list[Path]:
    names = {entry.id, entry.repo.rpartition("/")[2]} - {""}
    held = {child.name for child in folder.iterdir()}
    if "model_index.json" in held:
        return [folder] if folder.name in names or _looks_like(entry, folder) else []
    named = [folder / name for name in sorted(names & held) if _is_folder(folder / name)]
    return [*named, *(find_snapshots(folder, entry.repo) if entry.repo else [])]


def _is_folder(place: Path) -> bool:
    return not unresponsive_places.place_of(place) and place.is_dir()


def find_snapshots(cache: Path, repo: str) -> list[Path]:
    """All snapshots of the repository: first that of its main branch, then the newest."""
    home = cache / ("models--" + repo.replace("/", "--"))
    if unresponsive_places.place_of(home):
        return []
    try:
        with guarded_files.opened(home / "refs" / "main") as stream:
            main = stream.read(MOST_NAME_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        main = ""  # no main branch was ever fetched, or not by name; any snapshot will do
    try:
        with guarded_files.guard():
            snapshots = [child for child in (home / "snapshots").iterdir() if child.is_dir()]
    except guarded_files.Unlookable:
        return []
    return sorted(snapshots, key=lambda child: (child.name == main, _changed(child)), reverse=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # it went just now
        return 0.0


def _looks_like(entry: ModelEntry, folder: Path) -> bool:
    """Whether a folder of any name holds this model, told by its class, its transformer's shape and its layout.

    Twins, of one shape and only trained at other sizes, as Wan 2.1's two I2V are, can't be told apart so.
    """
    try:
        with guarded_files.guard():
            _check_kind(entry, folder)
    except guarded_files.Unlookable:
        return False
    return entry.weights.layers > 0 and not entry.twin


def _check_kind(entry: ModelEntry, folder: Path) -> None:
    """Raise NotWhole where the folder holds another model."""
    index = integrity.read_index(folder)
    found = index.get("_class_name")
    if found not in entry.pipelines:
        raise integrity.NotWhole(f"it holds a {str(found)[:60]}, which is not this model")
    if not entry.weights.layers:
        return
    try:
        config = _config(folder, "transformer")
        shape = int(config["num_layers"]), int(config["num_attention_heads"])
        vae = _config(folder, "vae")
        image_encoder = _config(folder, "image_encoder") if (folder / "image_encoder").is_dir() else None
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return  # what is missing in it, the check of its files says better
    if shape != (entry.weights.layers, entry.weights.heads):
        raise integrity.NotWhole(f"its transformer has {shape[0]} layers of {shape[1]} heads, so it is another model")
    try:
        architecture = told(index, config, vae, image_encoder)
        experts = 1 if boundary(index) is None else 2
    except Unfit as why:
        raise integrity.NotWhole(str(why)) from None
    if entry.architecture is not None and architecture is not entry.architecture:
        raise integrity.NotWhole(f"it holds a model that makes {architecture.words}, which is another")
    if experts != entry.weights.experts:
        raise integrity.NotWhole(
            f"it has {'two transformers' if experts == 2 else 'one transformer'}, so it is another"
        )


def _config(folder: Path, component: str) -> dict[str, Any]:
    """The part's config.json; raises OSError or ValueError."""
    config = guarded_files.read_json(folder / component / "config.json")
    if not isinstance(config, dict):
        raise ValueError(f"{component}/config.json is not an object")
    return config


def _broken(entry: ModelEntry, folder: Path, why: guarded_files.Unlookable) -> UnavailableModel:
    if guarded_files.is_out_of_memory(why.__cause__):
        sentence = f"{entry.label} in {folder} can't be used now because {why}; close other programs, then try again."
        return UnavailableModel(Problem(ProblemKind.OUT_OF_MEMORY, sentence))
    mend = "download it again" if entry.repo else "install the backend again"
    if entry.repo and folder.parent.name != "snapshots":
        mend = "copy the model there again, or choose another models folder in the preferences"
    return UnavailableModel(
        Problem(ProblemKind.MODEL_BROKEN, f"{entry.label} in {folder} can't be used because {why}; {mend}.")
    )


def download_command(model_id: str) -> str:
    """What a person types to fetch a model, with this very Python: others don't know the backend."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{python} -m wan_backend models --download {model_id}"


def _missing(entry: ModelEntry, complaints: list[str]) -> UnavailableModel:
    if complaints:
        return UnavailableModel(Problem(ProblemKind.MODEL_MISSING, f"{entry.label} is not here. {complaints[0]}"))
    if not entry.repo:
        return UnavailableModel(
            Problem(ProblemKind.MODEL_MISSING, f"{entry.label} is not in this backend; install the backend again.")
        )
    return UnavailableModel(
        Problem(
            ProblemKind.MODEL_MISSING,
            f"{entry.label} is not on this machine; download it ({size_in_words(entry.download_bytes)}), or choose the "
            "models folder that has it in the preferences.",
        )
    )
