"""What a scene strip shows, as digests: the camera, and the objects in its view. Changes and evaluates nothing.

A generator that yields after each object, so that whoever drives it decides how long it may take; it holds no object
from one step to the next, only names. Values that are animated are read from their curves, at the frames that are
needed: they don't depend on where the playhead is. What is behind the objects (nodes, particles, simulations, files) is
`node_digests`' part.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
from mathutils import Euler, Matrix, Quaternion, Vector

from . import compat, node_digests
from .plain_values import TRANSFORMS, IdKey, curves, found_again, id_key, moving, plain, told
from .seen_sources import MAX_OBJECTS, SeenFiles, SeenScene, digest
from .source_looks import ShownScene

MAX_POINTS = 512
"""Of a very large shape, about so many evenly spread points are read."""
MOST_WHOLE = 100_000
"""A mesh with no more corners is read whole, which takes about a millisecond."""
MAX_PARENTS = 16
MAX_LOOKED_AT = 20_000
"""So many objects of a shot are looked at."""
VIEWS = 9
"""The camera's view is looked at from so many places of its way."""
SHAPES = frozenset(
    {"MESH", "CURVE", "CURVES", "SURFACE", "META", "FONT", "VOLUME", "POINTCLOUD", "GPENCIL", "GREASEPENCIL"}
)
LIGHTS = frozenset({"LIGHT", "LIGHT_PROBE"})
WIDER = 1.2
"""The view counts as so much wider than it is: what lies just outside may throw a shadow into it."""
_OF_CAMERAS = (
    "type", "lens", "ortho_scale", "sensor_width", "sensor_height", "sensor_fit", "shift_x", "shift_y", "clip_start",
    "clip_end",
)  # fmt: skip
_OF_LIGHTS = ("type", "color", "energy", "shadow_soft_size", "spot_size", "spot_blend", "angle", "size", "shape")
_OF_CURVES = ("bevel_depth", "extrude", "offset", "body", "resolution_u", "fill_mode")
_OF_MODIFIERS = (
    "type", "name", "show_render", "levels", "render_levels", "count", "thickness", "width", "strength", "factor",
    "angle", "ratio", "offset", "segments", "iterations", "use_axis",
)  # fmt: skip
_OF_CONSTRAINTS = ("type", "name", "influence", "mute", "track_axis", "up_axis", "forward_axis", "offset")


def camera_alone(shown: ShownScene) -> SeenScene | None:
    """What is seen of the scene but for its objects; None if it is gone, or no camera shows it."""
    scene: Any = found_again(bpy.data.scenes, shown.scene)
    cameras = [key for key in dict.fromkeys(shown.cameras) if key is not None]
    if scene is None or None in shown.cameras:
        return None
    shot = digest([plain(_size(scene)), list(shown.frames), _world(scene) if not shown.depth else None])
    camera = digest([_camera(name, shown.frames) for name in cameras])
    return SeenScene(_shown_name(shown.scene), shot, camera)


@dataclass(frozen=True)
class FoundScene:
    """What is seen of a scene, and where its files lie."""

    seen: SeenScene
    paths: tuple[str, ...] = ()
    """The absolute path of each of `seen.files`."""


def steps(shown: ShownScene, shapes: dict[str, str] | None = None) -> Generator[None, None, FoundScene | None]:
    """What is seen of the scene; None if it is gone, or no camera shows it.

    `shapes` keeps the digests of meshes, which many objects and many shots share; it is good for one look at the file.
    """
    shapes = {} if shapes is None else shapes
    alone = camera_alone(shown)
    if alone is None:
        return None
    scene = found_again(bpy.data.scenes, shown.scene)
    views = _views(shown, _size(scene))
    keys = _leading(shown.cameras) if shown.camera_alone else _rendered(scene, shown.view_layer)
    scene = None  # from here on, ticks may end
    yield
    found: dict[IdKey, str] = {}
    behind = node_digests.Behind(shown.scene, shown.frames, shown.depth)
    waiting = list(reversed(keys))
    wanted_by_others: set[IdKey] = set(keys) if shown.camera_alone else set()
    while waiting and len(found) < MAX_LOOKED_AT:
        key = waiting.pop()
        thing: Any = found_again(bpy.data.objects, key)
        if thing is None or key in found:
            continue
        if key in wanted_by_others or _counts(thing, shown, views):
            found[key] = digest(_object(thing, shown, shapes), 16)
            others = list(_leads(thing))
            thing = None
            yield from behind.object_steps(key)
            more = [other for other in (*others, *behind.objects_met()) if other not in found]
            wanted_by_others.update(more)
            waiting += more
        thing = None
        yield
    yield from behind.steps()
    for key in shown.cameras:
        found.pop(key or ("", ""), None)
    few, objects = _told_apart((_shown_name(key), of) for key, of in found.items())
    nodes, behind_all = _told_apart(behind.digests.items())
    files = tuple(SeenFiles(_shown_name((os.path.basename(path), "")), 1) for path in behind.files)
    seen = replace(alone, objects=objects, by_name=few, behind=behind_all, behind_by_name=nodes, files=files)
    return FoundScene(seen, tuple(behind.files))


def _told_apart(named: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Names and digests, if they are few, and one digest of all."""
    each = tuple(sorted(named))
    return each if len(each) <= MAX_OBJECTS else (), digest(each)


def _shown_name(key: IdKey) -> str:
    """The name as a person reads it, and as it can be written."""
    name, library = key
    text = f"{name} [{bpy.path.basename(library)}]" if library else name
    return text.encode("utf-8", "replace").decode()[:200]


def _size(scene: bpy.types.Scene) -> tuple[float, ...]:
    """Width, height, percentage, and the pixels' aspect."""
    render = scene.render
    aspect = (render.pixel_aspect_x, render.pixel_aspect_y)
    return (render.resolution_x, render.resolution_y, render.resolution_percentage, *aspect)


def _rendered(scene: bpy.types.Scene, view_layer: str) -> list[IdKey]:
    """The keys of the scene's objects that are rendered, in the order in which its collections have them."""
    layer = scene.view_layers.get(view_layer) or scene.view_layers[0]
    excluded: set[IdKey] = set()
    layers = [layer.layer_collection]
    while layers:
        one = layers.pop()
        if one is not None:  # Blender makes it when the scene is drawn for the first time
            excluded.update([id_key(one.collection)] if one.exclude else ())
            layers += one.children
    keys: dict[IdKey, None] = {}
    waiting = [scene.collection]
    while waiting:
        collection = waiting.pop()
        if id_key(collection) not in excluded and not collection.hide_render:
            keys.update(dict.fromkeys(map(id_key, collection.objects)))
            waiting += collection.children
    return list(keys)


def _counts(thing: bpy.types.Object, shown: ShownScene, views: list[Any]) -> bool:
    """Whether the object may be seen, or lights what is seen."""
    if thing.hide_render and "hide_render" not in moving(thing):
        return False
    if thing.instance_type != "NONE":
        return True
    if thing.type in LIGHTS:
        return not shown.depth
    return thing.type in SHAPES and _in_view(thing, shown, views)


def _object(thing: bpy.types.Object, shown: ShownScene, shapes: dict[str, str]) -> list[object]:
    values: list[object] = [_motion(thing, shown.frames), thing.type, _shape(thing, shown.frames, shapes)]
    values.append([told(each, _OF_MODIFIERS, _moving_of(thing, "modifiers", each)) for each in thing.modifiers])
    if thing.instance_type == "COLLECTION" and thing.instance_collection is not None:
        inner = thing.instance_collection
        names = [each.name for each in inner.all_objects[:MAX_POINTS]]
        values.append([inner.name, plain(inner.instance_offset), names, len(inner.all_objects)])
    if thing.type == "ARMATURE" and thing.pose is not None:
        moving = {curve.data_path for curve in compat.curves_of(thing.animation_data)}
        still = [bone for bone in thing.pose.bones if not any(f'"{bone.name}"' in path for path in moving)]
        values.append([plain(bone.matrix_basis) for bone in still])
    if not shown.depth:
        values.append([slot.material.name if slot.material is not None else "" for slot in thing.material_slots])
    return values


def _motion(thing: bpy.types.Object, frames: Sequence[int]) -> list[object]:
    """How the object lies and moves, as far as its own values say it."""
    constraints: list[object] = [
        told(each, _OF_CONSTRAINTS, _moving_of(thing, "constraints", each)) for each in thing.constraints
    ]
    return [
        told(thing, TRANSFORMS, moving(thing)),
        curves(thing, frames),
        "" if thing.parent is None else [thing.parent.name, thing.parent_type, thing.parent_bone],
        [] if thing.parent is None else plain(thing.matrix_parent_inverse),
        constraints,
    ]


def _moving_of(thing: bpy.types.Object, within: str, owner: Any) -> set[str]:
    """The properties of a modifier or a constraint whose values follow the playhead."""
    path = f'{within}["{bpy.utils.escape_identifier(owner.name)}"].'
    return {name[len(path) :] for name in moving(thing) if name.startswith(path)}


def _camera(key: IdKey, frames: Sequence[int]) -> list[object]:
    """The camera itself, and whatever leads it."""
    waiting, known = [key], set[IdKey]()
    values: list[object] = []
    while waiting and len(known) < MAX_PARENTS:
        one = waiting.pop()
        thing: Any = found_again(bpy.data.objects, one)
        if thing is None or one in known:
            continue
        known.add(one)
        values.append(_motion(thing, frames))
        if thing.type == "CAMERA":
            values.append([told(thing.data, _OF_CAMERAS, moving(thing.data)), curves(thing.data, frames)])
        waiting += _leads(thing)
    return values


def _leads(thing: bpy.types.Object) -> Iterator[IdKey]:
    """The objects that lead or shape this one, or are shown in its place."""
    if thing.parent is not None:
        yield id_key(thing.parent)
    if thing.instance_type == "COLLECTION" and thing.instance_collection is not None:
        yield from map(id_key, thing.instance_collection.all_objects[:MAX_LOOKED_AT])
    for owner in itertools.chain(thing.constraints, thing.modifiers):
        for name in ("target", "object", "mirror_object", "pole_target", "offset_object"):
            other = getattr(owner, name, None)
            if isinstance(other, bpy.types.Object):
                yield id_key(other)
    for each in thing.animation_data.drivers if thing.animation_data is not None else ():
        for variable in each.driver.variables:
            yield from (id_key(target.id) for target in variable.targets if isinstance(target.id, bpy.types.Object))


def _leading(cameras: Iterable[IdKey | None]) -> list[IdKey]:
    """The objects that lead one of these."""
    things = (found_again(bpy.data.objects, key) for key in dict.fromkeys(cameras) if key is not None)
    return list(dict.fromkeys(key for thing in things if thing is not None for key in _leads(thing)))


def _shape(thing: bpy.types.Object, frames: Sequence[int], shapes: dict[str, str]) -> list[object]:
    data: Any = thing.data
    if data is None:
        return []
    keys = compat.part(data, "shape_keys")
    values: list[object] = [curves(data, frames), curves(keys, frames)]
    if keys is not None:
        values.append([[each.name, None if moving(keys) else plain(each.value)] for each in keys.key_blocks])
    if thing.type == "MESH":
        if data.name_full not in shapes:
            shapes[data.name_full] = _points(data)
        values.append(shapes[data.name_full])
    elif thing.type in LIGHTS:
        values.append(told(data, _OF_LIGHTS, moving(data)))
    else:
        values.append(told(data, _OF_CURVES, moving(data)))
        for spline in list(compat.part(data, "splines") or ())[:MAX_POINTS]:
            points = [*spline.points, *spline.bezier_points]
            values.append([plain(point.co) for point in points[:: max(1, len(points) // MAX_POINTS)]])
    return values


def _points(mesh: bpy.types.Mesh) -> str:
    """A digest of a mesh: how many corners and faces it has, and where the corners lie; of very many, some."""
    count = len(mesh.vertices)
    facts: list[object] = [count, len(mesh.polygons)]
    if count <= MOST_WHOLE:
        places = array("f", bytes(12 * count))
        mesh.vertices.foreach_get("co", places)
        facts.append(hashlib.blake2b(places.tobytes(), digest_size=16).hexdigest())
    else:
        facts.append([plain(mesh.vertices[index].co) for index in range(0, count, count // MAX_POINTS)])
    return digest(facts)


def _world(scene: bpy.types.Scene) -> list[object]:
    """What colors all of the scene."""
    world, view = scene.world, scene.view_settings
    return [
        "" if world is None else [world.name, plain(world.color)],
        scene.render.engine.replace("_NEXT", ""),
        view.view_transform,
        view.look,
        plain(view.exposure),
        plain(view.gamma),
    ]


# What is in view


def _views(shown: ShownScene, size: Sequence[float]) -> list[tuple[Matrix, float, float, float]]:
    """From where, and how far to either side and up and down, the cameras see; none where that isn't known.

    The numbers are tangents of half the angles of view, 0 for a camera without perspective.
    """
    views = []
    pairs = list(zip(shown.frames, shown.cameras, strict=True))
    for index in sorted({number * (len(pairs) - 1) // (VIEWS - 1) for number in range(VIEWS)}):
        frame, key = pairs[index]
        thing: Any = found_again(bpy.data.objects, key) if key is not None else None
        place = _placed(thing, frame) if thing is not None else None
        if place is None or thing.type != "CAMERA" or thing.data.type != "PERSP" or moving(thing.data):
            return []
        wide, high = size[0] * size[3], size[1] * size[4]  # as they are shown
        lens: Any = thing.data
        across = lens.sensor_fit == "HORIZONTAL" or (lens.sensor_fit == "AUTO" and wide >= high)
        sensor = lens.sensor_height if lens.sensor_fit == "VERTICAL" else lens.sensor_width
        tangent = sensor / 2 / max(1e-3, lens.lens) * WIDER
        shift = max(abs(lens.shift_x), abs(lens.shift_y)) * 2
        sides = (tangent, tangent * high / wide) if across else (tangent * wide / high, tangent)
        views.append((place.inverted_safe(), *(side + shift * tangent for side in sides), lens.clip_end))
    return views


def _in_view(thing: bpy.types.Object, shown: ShownScene, views: list[Any]) -> bool:
    """False if no camera can see the object, by a sphere around it; True where that isn't known."""
    if not views or len(thing.modifiers) or moving(thing.data) or compat.part(thing.data, "shape_keys"):
        return True
    corners = [Vector(corner) for corner in thing.bound_box]
    middle = sum(corners, Vector()) / len(corners)
    reach = max((corner - middle).length for corner in corners)
    last = len(shown.frames) - 1
    for number, view in enumerate(views):
        place = _placed(thing, shown.frames[number * last // max(1, len(views) - 1)])
        if place is None or _sees(view, place @ middle, reach * max(place.to_scale().to_tuple(), key=abs)):
            return True
    return False


def _sees(view: tuple[Matrix, float, float, float], middle: Vector, reach: float) -> bool:
    to_camera, across, up, far = view
    at, reach = to_camera @ middle, abs(reach)
    ahead = -at.z
    if ahead + reach < 0 or ahead - reach > far:
        return False
    for aside, tangent in ((abs(at.x), across), (abs(at.y), up)):
        if aside - tangent * ahead > reach * (1 + tangent * tangent) ** 0.5:
            return False
    return True


def _placed(thing: Any, frame: int, depth: int = 0) -> Matrix | None:
    """Where the object lies in a frame, by its own curves and its parents'; None where more than these decide."""
    data = thing.animation_data
    led = len(thing.constraints) or (data is not None and (len(data.drivers) or len(data.nla_tracks)))
    if led or depth > MAX_PARENTS or (thing.parent is not None and thing.parent_type != "OBJECT"):
        return None
    if any(name.startswith("delta_") for name in moving(thing)) or any(thing.delta_rotation_euler):
        return None
    own = _basis(thing, frame)
    if thing.parent is None:
        return own
    above: Any = _placed(thing.parent, frame, depth + 1)
    placed: Matrix | None = None if above is None else above @ thing.matrix_parent_inverse @ own
    return placed


def _basis(thing: Any, frame: int) -> Matrix:
    values = {
        name: list(getattr(thing, name))
        for name in ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")
    }
    for curve in compat.curves_of(thing.animation_data):
        if curve.data_path in values and curve.array_index < len(values[curve.data_path]):
            values[curve.data_path][curve.array_index] = curve.evaluate(frame)
    mode = thing.rotation_mode
    if mode == "QUATERNION":
        turn = Quaternion(values["rotation_quaternion"])
    elif mode == "AXIS_ANGLE":
        angle, *axis = values["rotation_axis_angle"]
        turn = Quaternion(axis, angle)
    else:
        turn = Euler(values["rotation_euler"], mode).to_quaternion()
    place: Any = Vector(values["location"]) + thing.delta_location
    size: Any = Vector(values["scale"]) * thing.delta_scale
    return Matrix.LocRotScale(place, turn, size)
