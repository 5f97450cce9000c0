"""Where each component of a model is: in subfolders of one folder, or each in a folder or file of its own.

The server decides where (`locate`) and the worker keeps to it; both recognize themselves what is in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..catalogue.architecture import CAMERA_CLASS, Architecture, detect_architecture
from ..protocol import spoken
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile, stamp
from . import compose, control_modules, renderer_folders, weights_head
from .recognize import FileComponent, recognize_components

INDEX_FILE = "model_index.json"
TRANSFORMER_CLASS_NAMES = ("WanTransformer3DModel", "WanVACETransformer3DModel", CAMERA_CLASS)
UNINDEXED = ("tokenizer", *control_modules.MODULE_OF.values())
"""The names of places that are no components by an index of diffusers."""
FilesStamp = tuple[tuple[str, int, int], ...]


class ComponentFiles:
    """The file or folder of each of a model's components."""

    def __init__(self, folder: Path, components: Mapping[str, Path] | None = None) -> None:
        """`components` has the file or folder of each; without it all are subfolders of `folder`."""
        self.folder = folder
        self._components = dict(components or {})

    @property
    def is_composed(self) -> bool:
        """True for a model that is composed of several files and folders."""
        return bool(self._components)

    def is_at(self, folder: Path, components: Mapping[str, Path]) -> bool:
        """True if these are the same files and folders."""
        return self.folder == folder and self._components == dict(components)

    def path(self, component: str) -> Path:
        """The folder or the file of a component. Raises Refusal if there is none."""
        if not self.is_composed:
            return self.folder / component
        if component not in self._components:
            raise _refusal(
                Sentence(
                    "The place of the {component} is not known; start the backend again.",
                    component=spoken.component(component),
                )
            )
        return self._components[component]

    def places(self, component: str) -> list[Path]:
        """The folder or file of a component, and of control that is in a file of its own. Raises Refusal."""
        module = self._components.get(control_modules.MODULE_OF.get(component, ""))
        return [self.path(component), *([] if module is None else [module])]

    def has(self, component: str) -> bool:
        """True if the model has such a component."""
        return component in self._components if self.is_composed else (self.folder / component).is_dir()

    def file(self, component: str) -> FileComponent | None:
        """The component in its file; None if it is in a folder. Raises Refusal if the file no longer holds it."""
        place, *module = self.places(component)
        if (place.is_dir() and not module) or not self.is_composed:
            return None
        held = self._held(place, component.removesuffix("_2"))
        return control_modules.join(self._held(module[0], "control"), held) if module else held

    def _held(self, place: Path, kind: str) -> FileComponent:
        """The component of that kind in a file, or in a folder as if it were one. Raises Refusal."""
        try:
            with guarded_files.guard():
                if place.is_dir():
                    return control_modules.folder_component(place, kind)
                found = recognize_components(weights_head.read_head(place))
        except UnusableFile as why:
            if guarded_files.is_out_of_memory(why.__cause__):
                sentence = Sentence(
                    "{place} {complaint}; close other programs, then try again.",
                    place=place,
                    complaint=guarded_files.complaint(MemoryError()),
                )
                raise Refusal(Problem(ProblemKind.OUT_OF_MEMORY, sentence)) from None
            raise _refusal(
                Sentence("{place} can't be used because {why}; choose another file.", place=place, why=why)
            ) from None
        for one in found:
            if one.component == kind:
                return one
        raise _refusal(
            Sentence(
                "{place} holds no {component} of a Wan model any more; start the backend again.",
                place=place,
                component=spoken.component(kind),
            )
        )

    def index(self) -> dict[str, Any]:
        """model_index.json, or what it would say of a composed model. Raises Refusal if it is no Wan model's."""
        if not self.is_composed:
            return _read_index(self.folder)
        return compose.index_of(
            {component: self.config(component) for component in self._components if component not in UNINDEXED}
        )

    def architecture(self, index: Mapping[str, Any]) -> Architecture:
        """What the model is conditioned by. Raises Refusal if its components don't go together."""
        transformer, vae = self.config("transformer"), self.config("vae")
        image_encoder = self.config("image_encoder") if self.has("image_encoder") else None
        try:
            return detect_architecture(index, transformer, vae, image_encoder)
        except UnusableFile as why:
            raise _not_runnable(self.folder, why) from why

    def config(self, component: str) -> dict[str, Any]:
        """The configuration of a component, without loading its weights. Raises Refusal."""
        if self.is_composed and component == "scheduler":
            return dict(compose.SCHEDULER)
        file = self.file(component)
        if file is not None:
            return dict(file.config)
        place = self.path(component)
        found = read_config(place / ("scheduler_config.json" if component == "scheduler" else "config.json"))
        return _marked(found, place) if component.startswith("transformer") else found

    def stamp(self) -> FilesStamp:
        """Name, length and time of every weights file, which tell whether a model was exchanged on the disk."""
        if not self.is_composed:
            return _stamp(sorted(self.folder.glob("*/*.safetensors")))
        return tuple(row for component in sorted(self._components) for row in self.component_stamp(component))

    def component_stamp(self, component: str) -> FilesStamp:
        """The stamp of one component; equal for two models that share it, as links of the hub's cache lead to one file.

        A tokenizer has no weights, so all of its files count.
        """
        place, *module = self.places(component)
        files = "*" if component == "tokenizer" else "*.safetensors"
        return _stamp([*(sorted(place.glob(files)) if place.is_dir() else [place]), *module])


def classes(index: Mapping[str, Any]) -> dict[str, str]:
    """The class of each component that a model's index names."""
    return {name: row[1] for name, row in index.items() if isinstance(row, list) and len(row) == 2}


def _marked(config: Mapping[str, Any], place: Path) -> dict[str, Any]:
    try:
        with guarded_files.guard():
            return renderer_folders.marked(config, place)
    except UnusableFile as why:
        raise _not_runnable(place.parent, why) from why


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        with guarded_files.guard():
            renderer = renderer_folders.index_of_folder(folder)
    except UnusableFile as why:
        raise _not_runnable(folder, why) from why
    if renderer is not None:
        return renderer
    if not (folder / INDEX_FILE).is_file():
        sentence = Sentence(
            "{folder} holds no model: there is no {file} in it. Choose the folder that has one.",
            folder=folder,
            file=INDEX_FILE,
        )
        raise Refusal(Problem(ProblemKind.MODEL_MISSING, sentence))
    index = read_config(folder / INDEX_FILE)
    named = classes(index)
    if named.get("transformer") not in TRANSFORMER_CLASS_NAMES or named.get("vae") != "AutoencoderKLWan":
        kind = index.get("_class_name", Sentence("something unknown"))
        raise _refusal(
            Sentence(
                "{folder} holds {kind}, which is not a Wan model that this version can run.", folder=folder, kind=kind
            )
        )
    return index


def read_config(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises Refusal."""
    try:
        value = guarded_files.read_json(file)
    except FileNotFoundError as error:
        raise _refusal(Sentence("{file} is not there; download the model again.", file=file)) from error
    except OSError as error:
        why = guarded_files.complaint(error)
        raise _refusal(
            Sentence("{file} {why}; see to its disk and its permissions, then try again.", file=file, why=why)
        ) from error
    except ValueError as error:
        raise _refusal(
            Sentence("{file} can't be read, for it is damaged; download the model again.", file=file)
        ) from error
    if not isinstance(value, dict):
        raise _refusal(Sentence("{file} is not what it should be; download the model again.", file=file))
    return value


def _stamp(files: list[Path]) -> FilesStamp:
    rows = []
    for file in files:
        try:
            found = stamp(file)
        except OSError:
            rows.append((str(file), -1, -1))
            continue
        rows.append((str(file.resolve()), *found))
    return tuple(rows)


def _not_runnable(folder: Path, why: UnusableFile) -> Refusal:
    return _refusal(
        Sentence("The model in {folder} can't be run because {why}; choose another model.", folder=folder, why=why)
    )


def _refusal(sentence: Sentence) -> Refusal:
    return Refusal(Problem(ProblemKind.MODEL_BROKEN, sentence))
