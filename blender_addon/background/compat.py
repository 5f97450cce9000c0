"""Covers what differs between Blender 4.2 and 5.2 in the Blender that renders in the background.

A second file beside `timeline/compat.py`, because this Blender has only this package. No other module of it asks for
the version or probes for names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

SHOWS_ANIMATED_WEBP = bpy.app.version >= (5, 2, 0)
"""Whether the first picture of an animated WebP is shown; 5.0 and earlier show nothing."""


def strips(owner: Any) -> Any:
    """The strips right inside a sequence editor or a meta strip."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def all_strips(editor: Any) -> Any:
    """Every strip of a sequence editor, those inside meta strips too."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def curves(animation: Any) -> list[Any]:
    """The curves of an object's animation data, not its drivers; since 4.4 they are in the layers of an action."""
    action = animation.action
    if action is None:
        return []
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    bags = (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags)
    return [curve for bag in bags for curve in bag.fcurves]


def compositor_trees() -> Iterator[Any]:
    """The compositor's node trees that scenes hold; since 5.0 they are among the file's node groups."""
    if bpy.app.version < (5, 0, 0):
        yield from (scene.node_tree for scene in bpy.data.scenes if scene.node_tree is not None)


def offer_picture_formats(settings: Any) -> None:
    """Have the image settings take the file formats of pictures; since 5.0 they offer those of one media type alone."""
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"


def use_plain_colors(settings: Any) -> None:
    """Turn off what else the view settings do to colors: curves, and since 4.3 a white balance."""
    settings.use_curve_mapping = False
    if hasattr(settings, "use_white_balance"):
        settings.use_white_balance = False


def node_tree_of(material: bpy.types.Material) -> Any:
    """A new material's node tree; since 5.0 every material has one, and setting `use_nodes` warns."""
    if material.node_tree is None:
        material.use_nodes = True
    return material.node_tree
