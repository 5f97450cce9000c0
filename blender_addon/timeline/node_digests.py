"""What is behind an object that its shape and place don't tell, as digests: nodes, particles, simulations, files.

Materials, the world, lights, geometry nodes and the compositor are trees of nodes, of which only those count that
lead to an output. Of whatever kind a node is, its own properties and the values of its free inputs are read. What an
image, a cache or a volume holds is a file, whose path is given here and whose content is read elsewhere
(jobs.file_digests). Another version of Blender has other nodes for the same picture: there, these digests say nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy

from . import compat
from .plain_values import IdKey, curves, found_again, id_key, moving, plain
from .seen_sources import MAX_FILES, digest

MAX_NODES = 400
"""Of one tree, the nodes nearest to its output."""
NODES_AT_ONCE = 10
MAX_TREES = 64
"""So many trees are followed into one another."""
MAX_ITEMS = 64
MAX_DEPTH = 4
COMPOSITOR = "Compositor"
PACKED_BYTES = 1 << 20
"""More of a file that is packed into the .blend isn't read."""
_OUTPUTS = ("NodeGroupOutput", "CompositorNodeComposite", "ShaderNodeOutput")
_NOT_SEEN = frozenset(
    {
        "animation_data", "asset_data", "bake_directory", "frame_current", "is_active", "is_baked", "library",
        "library_weak_reference", "node_warnings", "original", "override_library", "panels", "point_cache", "rna_type",
        "solver_result", "tag", "use_disk_cache", "use_nodes",
    }
)  # fmt: skip
"""Properties that change by themselves, or that only the window shows."""
_ONLY_SHOWN = (
    "active", "bl_", "cache_", "has_cache", "open_", "paint_", "preview", "select", "show_", "texture_paint",
    "use_extra", "use_fake", "use_pin",
)  # fmt: skip


Place = tuple[str, IdKey]
"""Where a tree is found again: a collection of bpy.data, and its owner in that, which may be the tree itself."""


@dataclass
class Found:
    """What was met on the way through trees and modifiers."""

    frames: Sequence[int]
    trees: list[Place] = field(default_factory=list)
    """Those that are to be read as well."""
    objects: list[IdKey] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Absolute paths of files that are seen, in the order in which they were met, and what they are of."""


class Behind:
    """What is behind the objects of a shot. Holds names from one step to the next, and no data."""

    def __init__(self, scene: IdKey, frames: Sequence[int], depth: bool) -> None:
        self.digests: dict[str, str] = {}
        """Of materials, trees and objects, by name."""
        self._scene, self._depth = scene, depth
        self._found = Found(frames)
        self._materials: dict[IdKey, None] = {}
        self._lights: dict[IdKey, None] = {}

    @property
    def files(self) -> list[str]:
        """The absolute paths of the files that are seen."""
        return list(self._found.files)

    def objects_met(self) -> list[IdKey]:
        """The objects that the last one's modifiers take in."""
        met, self._found.objects = self._found.objects, []
        return met

    def object_steps(self, key: IdKey) -> Generator[None, None, None]:
        """Note what an object that is seen has behind it; reads a modifier a step."""
        thing: Any = found_again(bpy.data.objects, key)
        name, count = _told_name(thing), len(thing.modifiers)
        if isinstance(thing.data, bpy.types.Volume):
            note_file(thing.data, self._found)
        if not self._depth:
            if compat.part(thing.data, "node_tree") is not None:
                self._lights[id_key(thing.data)] = None
            for slot in thing.material_slots:
                if slot.material is not None:
                    self._materials[id_key(slot.material)] = None
        read: list[object] = []
        for index in range(count):
            thing = found_again(bpy.data.objects, key)
            if thing is not None and index < len(thing.modifiers):
                read.append(self._modifier(thing, thing.modifiers[index]))
            thing = None
            yield
            made = yield from _trees(self._found)
            read.append(made)
        if read:
            self._note(name, read)

    def steps(self) -> Generator[None, None, None]:
        """Read what the objects' materials and lights are made of, and what colors the whole scene."""
        owners = [*(("materials", key) for key in self._materials), *(("lights", key) for key in self._lights)]
        scene = found_again(bpy.data.scenes, self._scene)
        composited = False
        if scene is not None and not self._depth:
            owners += [("worlds", id_key(scene.world))] if scene.world is not None else []
            composited = compat.compositing_tree(scene) is not None
        scene = None  # from here on, ticks may end
        for place in owners:
            owner = _found_at(place)
            if owner is None:
                continue
            name, values = _told_name(owner), values_of(owner, self._found, moving(owner), {"node_tree"})
            facts = [values, curves(owner, self._found.frames)]
            owner = None
            self._found.trees.append(place)
            made = yield from _trees(self._found)
            self._note(name, [*facts, made])
        if composited:
            self._found.trees.append(("scenes", self._scene))
            made = yield from _trees(self._found)
            self._note(COMPOSITOR, [made])
        self._found.objects.clear()

    def _note(self, name: str, facts: list[object]) -> None:
        """A material and an object may have one name."""
        self.digests[name] = digest([self.digests.get(name, ""), facts], 16)

    def _modifier(self, thing: Any, owner: Any) -> list[object]:
        """The modifier without its trees, which `_found` has then."""
        own = _within(moving(thing), f'modifiers["{bpy.utils.escape_identifier(owner.name)}"]')
        inputs = [key for key in _inputs(owner) if f'["{key}"]' not in own]
        given = [[key, _value(owner[key], self._found, set(), 1)] for key in inputs]
        values: list[object] = [values_of(owner, self._found, own), given]
        system = compat.part(owner, "particle_system")
        if system is not None:
            settings = system.settings
            values.append([values_of(settings, self._found, moving(settings)), curves(settings, self._found.frames)])
        return values


def _within(moved: set[str], path: str) -> set[str]:
    """The paths of what moves within a part of an owner, seen from that part."""
    return {name[len(path) :].removeprefix(".") for name in moved if name.startswith((f"{path}.", f"{path}["))}


def modifier(owner: Any, frames: Sequence[int]) -> str:
    """A modifier of a strip that is made of nodes."""
    found = Found(frames)
    values = values_of(owner, found, set())
    steps = _trees(found)
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return digest([values, ended.value])


def _inputs(modifier: Any) -> list[str]:
    """The names of what a geometry nodes modifier is given, where they are custom properties of it (before 5.2)."""
    try:
        return sorted(modifier.keys())
    except TypeError:
        return []


def _told_name(owner: Any) -> str:
    return str(owner.name_full).encode("utf-8", "replace").decode()[:200]


def _trees(found: Found) -> Generator[None, None, list[object]]:
    """What the trees that were met make, with those within them; reads a few nodes a step."""
    known: set[Place] = set()
    told: list[object] = []
    while found.trees and len(known) < MAX_TREES:
        place = found.trees.pop()
        owner = None if place in known else _tree_at(place)
        known.add(place)
        if owner is None:
            continue
        nodes = _leading_to_output(owner)
        names, links = [node.name for node in nodes], _links(owner, {node.as_pointer() for node in nodes})
        told.append([_told_name(owner), links, curves(owner, found.frames)])
        owner, nodes = None, []  # from here on, ticks may end
        yield
        for first in range(0, len(names), NODES_AT_ONCE):
            owner = _tree_at(place)
            some = [owner.nodes.get(name) for name in names[first : first + NODES_AT_ONCE]] if owner is not None else []
            moved = moving(owner) if owner is not None else set()
            told += [_node(node, found, moved) for node in some if node is not None]
            owner, some = None, []
            yield
    found.trees.clear()
    return told


def _found_at(place: Place) -> Any:
    return found_again(getattr(bpy.data, place[0]), place[1])


def _tree_at(place: Place) -> Any:
    """The tree of nodes there; None if it is gone, or not used."""
    owner = _found_at(place)
    if owner is None or place[0] == "node_groups":
        return owner
    return compat.compositing_tree(owner) if place[0] == "scenes" else compat.nodes_of(owner)


def _links(owner: Any, nodes: set[int]) -> list[object]:
    """The links that lead to these nodes."""
    return [
        [link.from_node.name, link.from_socket.identifier, link.to_node.name, link.to_socket.identifier]
        for link in owner.links
        if link.is_valid and not link.is_muted and link.to_node.as_pointer() in nodes
    ]


def _leading_to_output(owner: Any) -> list[Any]:
    """The nodes that are seen, in the order in which the tree has them."""
    into: dict[int, list[Any]] = {}
    for link in owner.links:
        if link.is_valid and not link.is_muted:
            into.setdefault(link.to_node.as_pointer(), []).append(link.from_node)
    begins: dict[int, list[Any]] = {}
    for node in owner.nodes:  # a zone's two ends belong together without a link
        end = compat.part(node, "paired_output")
        if end is not None:
            begins.setdefault(end.as_pointer(), []).append(node)
    waiting = [node for node in owner.nodes if node.bl_idname.startswith(_OUTPUTS)]
    seen: dict[int, None] = {}
    while waiting and len(seen) < MAX_NODES:
        node = waiting.pop(0)
        key = node.as_pointer()
        if key not in seen:
            seen[key] = None
            waiting += [*into.get(key, ()), *begins.get(key, ())]
    return [node for node in owner.nodes if node.as_pointer() in seen]


def _node(node: Any, found: Found, moved: set[str]) -> list[object]:
    own = _within(moved, f'nodes["{bpy.utils.escape_identifier(node.name)}"]')
    common = bpy.types.Node.bl_rna.properties
    values = values_of(node, found, own, {each.identifier for each in common})
    for side in ("inputs", "outputs"):
        for number, socket in enumerate(getattr(node, side)):
            free = side == "outputs" or not socket.is_linked
            value = compat.part(socket, "default_value") if free else None
            if value is not None and f"{side}[{number}].default_value" not in own:
                values.append([side, number, _value(value, found, set(), MAX_DEPTH - 1)])
    return [node.bl_idname, node.name, node.mute, values]


def values_of(
    owner: Any, found: Found, moved: set[str], without: set[str] | None = None, depth: int = 0
) -> list[object]:
    """Name and value of all that the owner has, as far as it is seen; what it points to is followed."""
    values: list[object] = []
    for each in owner.bl_rna.properties:
        name = each.identifier
        if name in _NOT_SEEN or name.startswith(_ONLY_SHOWN) or name in moved or (without and name in without):
            continue
        worked_out = each.is_readonly and each.type not in ("POINTER", "COLLECTION")
        if worked_out or compat.part(each, "is_deprecated"):
            continue
        value = getattr(owner, name, None)
        if value is not None:
            values.append([name, _value(value, found, _within(moved, name), depth)])
    return values


def _value(value: Any, found: Found, moved: set[str], depth: int) -> object:
    if isinstance(value, bpy.types.ID):
        return _named(value, found)
    if isinstance(value, bpy.types.bpy_struct):
        return values_of(value, found, moved, depth=depth + 1) if depth < MAX_DEPTH else None
    if isinstance(value, bpy.types.bpy_prop_collection):
        items = value[:MAX_ITEMS] if depth < MAX_DEPTH else ()
        return [_value(each, found, _within(moved, f"[{number}]"), depth + 1) for number, each in enumerate(items)]
    if isinstance(value, set):
        return sorted(value)
    return plain(value)


def _named(value: Any, found: Found) -> object:
    """What is pointed to is told by its name; what else is known of it stands elsewhere."""
    if isinstance(value, bpy.types.NodeTree):
        found.trees.append(("node_groups", id_key(value)))
    elif isinstance(value, bpy.types.Object):
        found.objects.append(id_key(value))
    elif isinstance(value, bpy.types.Collection):
        found.objects += [id_key(each) for each in value.all_objects[:MAX_ITEMS]]
    elif isinstance(value, bpy.types.Image):
        return _image(value, found)
    elif isinstance(value, bpy.types.CacheFile | bpy.types.Volume | bpy.types.MovieClip | bpy.types.VectorFont):
        note_file(value, found)
    return value.name


def _image(image: Any, found: Found) -> list[object]:
    facts: list[object] = [image.name, image.source, image.colorspace_settings.name, image.alpha_mode]
    packed = image.packed_file
    if packed is not None:
        data = packed.data if packed.size <= PACKED_BYTES else b""
        return [*facts, packed.size, hashlib.blake2b(data, digest_size=16).hexdigest()]
    if image.source == "GENERATED":
        return [*facts, image.generated_type, plain(image.generated_color), list(image.size)]
    note_file(image, found)
    return facts


def note_file(owner: Any, found: Found) -> None:
    """Let the file of an image, a cache or a volume be read later."""
    path = str(owner.filepath)
    if path and path != "<builtin>" and len(found.files) < MAX_FILES:
        found.files.setdefault(os.path.abspath(bpy.path.abspath(path, library=owner.library)), owner.name)
