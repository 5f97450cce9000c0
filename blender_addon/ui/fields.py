"""Rows with a label on the left, aligned as Blender aligns those of properties."""

from __future__ import annotations

import bpy

LABEL_FACTOR = 0.4
"""The share of the width that Blender gives the labels of properties."""


def row(layout: bpy.types.UILayout, label: str, translate: bool = True) -> bpy.types.UILayout:
    """A row for what stands beside `label`."""
    split = layout.split(factor=LABEL_FACTOR)
    left = split.row()
    left.alignment = "RIGHT"
    left.label(text=label, translate=translate)
    right = split.row(align=True)
    right.use_property_split = False
    return right


def column(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column of properties whose labels are aligned, without the dots that animate them."""
    made = layout.column()
    made.use_property_split, made.use_property_decorate = True, False
    return made
