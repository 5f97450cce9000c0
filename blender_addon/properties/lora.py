"""The LoRAs that takes are made with: one row each, kept in the scene."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from ...wan_backend.protocol.messages import LEAST_STRENGTH, MOST_STRENGTH
from ..timeline import compat


class WanLora(bpy.types.PropertyGroup):
    """One LoRA; `name` is what the list shows, and may be changed."""

    path: StringProperty(
        name="File",
        description="A .safetensors file, or a folder that holds one or a pair for two experts. It may be relative "
        "to the .blend (//)",
        subtype="FILE_PATH",
        options=compat.RELATIVE_PATH,
    )
    use: BoolProperty(
        name="Use",
        description="Make takes with it",
        default=True,
    )
    strength: FloatProperty(
        name="Strength",
        description="How strongly it works: 1 is as it was trained, 0 is off, below 0 turns it round",
        default=1.0,
        min=LEAST_STRENGTH,
        max=MOST_STRENGTH,
        soft_min=-2.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    expert: EnumProperty(
        name="Expert",
        description="Which part of a model with two (Wan 2.2 A14B) it works on. Other models have one, and it is that",
        items=[
            ("AUTO", "By Its Name", "As the file, its name or its partner beside it say; both where nothing does"),
            ("BOTH", "Both", "Both experts"),
            ("HIGH", "High Noise", "The expert for the first steps: composition and motion"),
            ("LOW", "Low Noise", "The expert for the last steps: detail and look"),
        ],
    )
