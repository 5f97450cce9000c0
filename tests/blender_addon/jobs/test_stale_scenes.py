"""What is behind what a scene shows: nodes, particles, simulations, files, libraries. And proxies, and other films."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time

import bpy
import pytest
from fake_backend_frames import png
from stale_desk import JOB, Desk, write

pytestmark = pytest.mark.compat


def again(desk: Desk) -> None:
    """Let the take be made from what is there now."""
    strip = desk.compat.strip_named(desk.scene, "Take a")
    made_from = desk.provenance.of(strip)
    seen = desk.records.at_click(desk.scene, made_from.wanted, desk.files)
    strip[desk.provenance.PROPERTY] = desk.provenance.write(desk.records.replace(made_from, seen=seen))
    desk.look.opened()  # a take that is made anew has another job, of which nothing was found yet
    assert desk.walk(3) == {} and desk.look.unknown == {}


def use_nodes(owner) -> None:
    if bpy.app.version < (5, 0, 0):
        owner.use_nodes = True


def material_of(thing, name: str = "Wood"):
    material = bpy.data.materials.new(name)
    use_nodes(material)
    thing.active_material = material
    return material


def shader(material):
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def restyled_set(desk: Desk) -> None:
    """A take of the scene's pictures, not of its depth."""
    desk.cut.strips.remove(desk.compat.strip_named(desk.scene, "Take a"))
    desk.take("RESTYLE", "Set")


@pytest.fixture
def pictured(desk, set_):
    """The set, whose pictures a take was made from."""
    material_of(set_.objects["Table"])
    world = bpy.data.worlds.new("Sky")
    use_nodes(world)
    set_.world = world
    restyled_set(desk)
    again(desk)
    return set_


WOOD = "The nodes or settings of 'Wood' in scene 'Set' were changed."


def color_of(s):
    return shader(bpy.data.materials["Wood"]).inputs["Base Color"]


def link_a_picture(s, path) -> None:
    tree = bpy.data.materials["Wood"].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(str(path))
    tree.links.new(node.outputs["Color"], color_of(s))


def add_loose_node(s) -> None:
    bpy.data.materials["Wood"].node_tree.nodes.new("ShaderNodeTexNoise")


def insert_noise(s) -> None:
    tree = bpy.data.materials["Wood"].node_tree
    tree.links.new(tree.nodes.new("ShaderNodeTexNoise").outputs["Color"], color_of(s))


def drag_nodes(s) -> None:
    node = shader(bpy.data.materials["Wood"])
    node.location, node.width, node.select, node.label = (77, 7), 300, True, "mine"


def of_the_world(s) -> None:
    background = next(node for node in s.world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Strength"].default_value = 3.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: setattr(color_of(s), "default_value", (1, 0, 0, 1)), WOOD),
        (insert_noise, WOOD),
        (add_loose_node, ""),
        (drag_nodes, ""),
        (of_the_world, "The nodes or settings of 'Sky' in scene 'Set' were changed."),
        (lambda s: s.frame_set(9), ""),
    ],
)
def test_materials_and_world_count_with_what_leads_to_their_output(desk, pictured, change, reason) -> None:
    change(pictured)
    assert desk.reason() == reason


def test_a_material_behind_the_camera_does_not_count(desk, pictured) -> None:
    chair = pictured.objects["Chair"]
    chair.data = chair.data.copy()
    material_of(chair, "Unseen")
    assert desk.reason() == ""


def test_a_material_does_not_count_for_depth(desk, set_) -> None:
    material_of(set_.objects["Table"])
    again(desk)
    color_of(set_).default_value = (1, 0, 0, 1)
    assert desk.reason() == ""


@pytest.fixture
def followed(desk, set_):
    """The set, whose camera alone a take follows; the chair leads it."""
    set_.camera.parent = set_.objects["Chair"]
    strip = desk.compat.strip_named(desk.scene, "Take a")
    made_from = desk.provenance.of(strip)
    (wanted,) = made_from.wanted
    camera = desk.records.replace(wanted, role=type(wanted.role).CAMERA)
    made_from = desk.records.replace(made_from, wanted=(camera,))
    strip[desk.provenance.PROPERTY] = desk.provenance.write(made_from)
    again(desk)
    return set_


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: setattr(s.objects["Table"], "location", (3, 0, -10)), ""),
        (lambda s: setattr(s.camera.data, "lens", 85.0), "The camera of scene 'Set' was moved or changed."),
        (lambda s: setattr(s.camera, "location", (1, 2, 3)), "The camera of scene 'Set' was moved or changed."),
        (
            lambda s: s.objects["Chair"].modifiers.new("Bent", "SIMPLE_DEFORM"),
            "'Chair' in scene 'Set' was moved or changed.",
        ),
        (lambda s: setattr(s.render, "resolution_x", 333), "The size, the frames or the world of scene 'Set' were"),
    ],
)
def test_of_what_follows_a_camera_only_that_counts_and_what_leads_it(desk, followed, change, reason) -> None:
    change(followed)
    said = desk.reason()
    assert said.startswith(reason) if reason else said == ""


def test_a_value_that_is_animated_counts_by_its_curve(desk, pictured) -> None:
    socket = color_of(pictured)
    for frame, value in ((1, 0.0), (20, 1.0)):
        socket.default_value = (value, 0, 0, 1)
        socket.keyframe_insert("default_value", frame=frame)
    again(desk)
    pictured.frame_set(1)
    socket.default_value = (0.3, 0, 0, 1)  # as the playhead would have it
    assert desk.reason() == ""
    pictured.frame_set(1)
    socket.default_value = (0.7, 0, 0, 1)
    socket.keyframe_insert("default_value", frame=1)
    assert desk.reason() == WOOD


def test_a_group_within_a_group(desk, pictured) -> None:
    group = bpy.data.node_groups.new("Inner", "ShaderNodeTree")
    group.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    rgb, out = group.nodes.new("ShaderNodeRGB"), group.nodes.new("NodeGroupOutput")
    group.links.new(rgb.outputs[0], out.inputs[0])
    tree = bpy.data.materials["Wood"].node_tree
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    tree.links.new(node.outputs[0], color_of(pictured))
    again(desk)
    rgb.outputs[0].default_value = (0, 1, 0, 1)
    assert desk.reason() == WOOD


def test_a_large_tree_is_read_a_few_nodes_at_a_time(desk, pictured, addon) -> None:
    tree = bpy.data.materials["Wood"].node_tree
    socket = color_of(pictured)
    for _ in range(120):
        node = tree.nodes.new("ShaderNodeMixRGB" if bpy.app.version < (5, 0, 0) else "ShaderNodeGamma")
        tree.links.new(node.outputs[0], socket)
        socket = node.inputs["Color1" if "Color1" in node.inputs else "Color"]
    again(desk)
    nodes = addon("timeline.node_digests")
    read: list[str] = []
    node_of = nodes._node
    nodes._node = lambda node, *rest: read.append(node.name) or node_of(node, *rest)
    try:
        most = 0
        for _ in desk.look._steps():
            most, _ = max(most, len(read)), read.clear()
    finally:
        nodes._node = node_of
    assert most == nodes.NODES_AT_ONCE
    socket.default_value = (1, 0, 1, 1)
    assert desk.reason() == WOOD, "the last one of them counts"


def test_a_texture_counts_by_what_its_file_holds(desk, pictured, tmp_path) -> None:
    path = tmp_path / "grain.png"
    write(path, png(3))
    link_a_picture(pictured, path)
    again(desk)
    os.utime(path, (time.time() - 10,) * 2)
    assert desk.reason() == ""
    write(path, png(4))
    assert desk.reason() == "Grain.png in scene 'Set' was replaced."
    path.unlink()
    assert desk.reason() == ""
    (sentence,) = desk.look.unknown.values()
    assert sentence == "'Take a': grain.png can't be looked at now, so whether it has changed isn't known."


def test_a_texture_that_never_was_there_says_nothing(desk, pictured, tmp_path) -> None:
    path = tmp_path / "grain.png"
    write(path, png(3))
    link_a_picture(pictured, path)
    path.unlink()
    again(desk)


def compositor_of(scene):
    """The tree, with one node before its output."""
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Comp", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        out = tree.nodes.new("CompositorNodeComposite")
    layers, blur = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeBrightContrast")
    tree.links.new(layers.outputs["Image"], blur.inputs["Image"])
    tree.links.new(blur.outputs["Image"], out.inputs[0])
    return next(socket for socket in blur.inputs if socket.name.startswith("Bright"))


def test_the_compositor_counts_where_it_is_used(desk, pictured) -> None:
    bright = compositor_of(pictured)
    again(desk)
    bright.default_value = 20.0
    assert desk.reason() == "The compositor of scene 'Set' was changed."
    bright.default_value = 0.0
    assert desk.reason() == ""
    pictured.render.use_compositing = False
    again(desk)
    bright.default_value = 20.0
    assert desk.reason() == ""


def geometry_nodes_on(thing):
    tree = bpy.data.node_groups.new("Grow", "GeometryNodeTree")
    for name, kind, way in (
        ("Geometry", "NodeSocketGeometry", "INPUT"),
        ("Offset", "NodeSocketVector", "INPUT"),
        ("Geometry", "NodeSocketGeometry", "OUTPUT"),
    ):
        tree.interface.new_socket(name, in_out=way, socket_type=kind)
    begin, move, end = (
        tree.nodes.new(kind) for kind in ("NodeGroupInput", "GeometryNodeSetPosition", "NodeGroupOutput")
    )
    tree.links.new(begin.outputs[0], move.inputs["Geometry"])
    tree.links.new(move.outputs[0], end.inputs[0])
    modifier = thing.modifiers.new("Grow", "NODES")
    modifier.node_group = tree
    return modifier, move


def set_input(modifier, value) -> None:
    socket = next(each for each in modifier.node_group.interface.items_tree if each.name == "Offset")
    inputs = getattr(getattr(modifier, "properties", None), "inputs", None)
    if inputs is not None:
        getattr(inputs, socket.identifier).value = value
    else:
        modifier[socket.identifier] = value
    modifier.id_data.update_tag()


def test_geometry_nodes_count_also_for_depth(desk, set_) -> None:
    modifier, move = geometry_nodes_on(set_.objects["Table"])
    again(desk)
    move.inputs["Offset"].default_value = (0, 0, 2)
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."
    again(desk)
    set_input(modifier, (1.0, 0.0, 0.0))
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."


def test_an_object_that_geometry_nodes_take_in_counts(desk, set_) -> None:
    _modifier, move = geometry_nodes_on(set_.objects["Table"])
    tree = move.id_data
    info, join = tree.nodes.new("GeometryNodeObjectInfo"), tree.nodes.new("GeometryNodeJoinGeometry")
    info.inputs["Object"].default_value = set_.objects["Chair"]
    tree.links.new(move.outputs[0], join.inputs[0])
    tree.links.new(info.outputs["Geometry"], join.inputs[0])
    end = next(node for node in tree.nodes if node.bl_idname == "NodeGroupOutput")
    tree.links.new(join.outputs[0], end.inputs[0])
    again(desk)
    set_.objects["Chair"].rotation_euler.z = 1.0
    assert desk.reason() == "'Chair' in scene 'Set' was moved or changed."


def test_a_simulation_zone_counts_with_both_of_its_ends(desk, set_) -> None:
    _modifier, move = geometry_nodes_on(set_.objects["Table"])
    tree = move.id_data
    begin, end = tree.nodes.new("GeometryNodeSimulationInput"), tree.nodes.new("GeometryNodeSimulationOutput")
    begin.pair_with_output(end)
    again(desk)
    out = next(node for node in tree.nodes if node.bl_idname == "NodeGroupOutput")
    tree.links.new(move.outputs[0], begin.inputs["Geometry"])
    tree.links.new(end.outputs["Geometry"], out.inputs[0])
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."
    again(desk)
    move.inputs["Offset"].default_value = (0, 0, 2)  # it leads to the begin alone
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."


def test_particles_and_cloth_count_by_their_settings(desk, set_) -> None:
    table = set_.objects["Table"]
    table.modifiers.new("Hair", "PARTICLE_SYSTEM")
    cloth = table.modifiers.new("Cloth", "CLOTH")
    again(desk)
    table.particle_systems[0].settings.count = 7
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."
    again(desk)
    cloth.settings.mass = 3.0
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."
    again(desk)
    table.particle_systems[0].seed = 5
    assert desk.reason() == "The nodes or settings of 'Table' in scene 'Set' were changed."
    again(desk)
    set_.frame_set(12)
    assert desk.reason() == ""


def test_a_simulation_that_runs_and_is_baked_is_no_change_by_itself(desk, set_) -> None:
    table = set_.objects["Table"]
    cloth = table.modifiers.new("Cloth", "CLOTH")
    cloth.point_cache.frame_end = 6
    again(desk)
    for frame in range(1, 6):
        set_.frame_set(frame)
    assert desk.reason() == ""
    with bpy.context.temp_override(scene=set_, active_object=table, point_cache=cloth.point_cache):
        bpy.ops.ptcache.bake(bake=True)
    assert cloth.point_cache.is_baked
    assert desk.reason() == ""


def test_a_modifier_with_a_key_does_not_follow_the_playhead(desk, set_) -> None:
    array = set_.objects["Table"].modifiers.new("Array", "ARRAY")
    for frame, count in ((1, 2), (20, 9)):
        array.count = count
        array.keyframe_insert("count", frame=frame)
    again(desk)
    array.count = 5  # as the playhead would have it
    assert desk.reason() == ""


def test_a_cache_of_another_program_counts_by_its_file(desk, set_, tmp_path) -> None:
    path = tmp_path / "walk.abc"
    write(path, b"Ogawa" + bytes(100))
    volume = bpy.data.objects.new("Smoke", bpy.data.volumes.new("Smoke"))
    volume.data.filepath = str(path)
    volume.location = (0, 0, -10)
    set_.collection.objects.link(volume)
    again(desk)
    write(path, b"Ogawa" + bytes(101))
    assert desk.reason() == "Walk.abc in scene 'Set' was replaced."


def test_another_version_of_blender_says_nothing_about_nodes(desk, pictured) -> None:
    strip = desk.compat.strip_named(desk.scene, "Take a")
    values = json.loads(strip[desk.provenance.PROPERTY])
    for each in values["seen"]["strips"]:
        each["blender"] = "3.6"
        if each["scene"]:
            each["scene"]["behind"] = "0" * 32
    strip[desk.provenance.PROPERTY] = json.dumps(values)
    assert desk.reason() == ""
    color_of(pictured).default_value = (1, 0, 0, 1)
    assert desk.reason() == WOOD, "from then on it counts by what this version has found"


# Libraries


@pytest.fixture
def library(tmp_path):
    """A .blend with a collection 'Props' that has a lamp of meshes, as other people write it."""
    mesh = bpy.data.meshes.new("Lamp")
    mesh.from_pydata([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], [], [(0, 1, 3, 2)])
    props = bpy.data.collections.new("Props")
    props.objects.link(bpy.data.objects.new("Table", mesh))  # of the same name as the set's own
    path = tmp_path / "props.blend"
    bpy.data.libraries.write(str(path), {props}, fake_user=True)
    bpy.data.objects.remove(props.objects[0])
    bpy.data.collections.remove(props)
    bpy.data.meshes.remove(mesh)
    return path


def test_what_a_linked_collection_holds_counts(desk, library, set_) -> None:
    with bpy.data.libraries.load(str(library), link=True) as (there, here):
        here.collections = there.collections
    (props,) = here.collections
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", props
    instance.location = (0, 0, -9)
    set_.collection.objects.link(instance)
    again(desk)
    linked = props.objects[0]
    assert linked.name == "Table" and linked.library is not None
    linked.data.vertices[0].co = (-4, 0, 0)  # as after the library was changed and loaded again
    assert desk.reason() == "'Table [props.blend]' in scene 'Set' was moved or changed."
    linked.data.vertices[0].co = (-1, -1, -1)
    assert desk.reason() == ""
    set_.objects["Table"].location.x = 1
    assert desk.reason() == "'Table' in scene 'Set' was moved or changed.", "the set's own, of the same name"


def test_a_linked_scene_of_the_same_name_as_one_here(desk, tmp_path) -> None:
    strip = desk.cut.scene_strip("Set", 10, 34)
    theirs = strip.scene
    box = bpy.data.objects.new("Box", bpy.data.meshes.new("Box"))
    box.data.from_pydata([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], [], [(0, 1, 3, 2)])
    box.location = (0, 0, -10)
    theirs.collection.objects.link(box)
    path = tmp_path / "set.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    with bpy.data.libraries.load(str(path), link=True) as (_there, here):
        here.scenes = ["Set"]
    (linked,) = here.scenes
    assert linked.name == theirs.name and linked.library is not None
    strip.scene = linked
    desk.take("PREVIS", "Set")
    assert desk.walk(3) == {}
    box.location.x = 1  # the scene of this file, which nothing shows
    assert desk.reason() == ""
    next(each for each in linked.objects if each.name == "Box").location.x = 2
    assert desk.reason() == "'Box [set.blend]' in scene 'Set [set.blend]' was moved or changed."


# Proxies


def test_a_proxy_is_no_source(desk, tmp_path) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    shot.use_proxy = True
    proxies = tmp_path / "proxies"
    shot.proxy.use_proxy_custom_directory, shot.proxy.directory = True, str(proxies)
    shot.proxy.build_50 = True
    assert desk.reason() == ""
    (proxies / "50").mkdir(parents=True)
    write(proxies / "50" / "0000.png_proxy.jpg", png(7))
    assert desk.reason() == ""
    shutil.rmtree(proxies)
    assert desk.reason() == ""
    write(desk.cut.folder / "0005.png", png(99))
    assert desk.reason() == "Pictures of 'Shot' were replaced.", "the original is the source"


def test_an_original_that_is_away_while_its_proxy_is_there_is_unknown(desk, tmp_path) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    shot.use_proxy = True
    os.rename(desk.cut.folder, tmp_path / "away")
    assert desk.reason() == "" and list(desk.look.unknown) == [JOB]


# Other films


def asked_in(desk: Desk, addon, project: str) -> None:
    """Let the take have been asked for in that film."""
    messages = importlib.import_module(addon("timeline.identity").TakeRequest.__module__)
    origin = messages.Origin(project="/films/other.blend", project_id=project, scene="Scene")
    made = messages.TakeRequest("fog", "embedded", 64, 36, 8, messages.FrameRate(24), 7, "/takes", origin=origin)
    strip = desk.compat.strip_named(desk.scene, "Take a")
    conversion = importlib.import_module(f"{messages.__package__}.conversion")
    strip[desk.identity.REQUEST] = json.dumps(conversion.to_json(made))


def test_a_take_that_was_pasted_into_another_film_says_nothing_there(desk, addon) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    own = addon("jobs.project").ensure()
    asked_in(desk, addon, own)
    assert desk.walk(3) == {}
    desk.cut.strips["Shot"].use_flip_x = True
    assert desk.reason()
    asked_in(desk, addon, "e" * 32)  # this film has another strip of that name
    assert desk.reason() == ""


def test_a_film_that_was_saved_as_another_is_judged(desk, addon, tmp_path) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    asked_in(desk, addon, addon("jobs.project").ensure())
    for name in ("film.blend", "film_v002.blend"):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film_v002.blend"))
    desk.scene = bpy.context.scene
    desk.look.opened()
    desk.compat.strip_named(desk.scene, "Shot").use_flip_x = True
    assert desk.reason()
