"""What a LoRA is to be trained from and called. Part of WanSettings, and so of the .blend."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...wan_backend.protocol.messages import MAX_RANK, MAX_TRAINING_STEPS


class WanClip(bpy.types.PropertyGroup):
    """A strip that a LoRA is trained from; `name` is the strip's."""

    use: BoolProperty(
        name="Use",
        description="Train from this strip",
        default=True,
    )
    caption: StringProperty(
        name="Caption",
        description="What this strip shows, besides what is to be learned. Empty: what the text strips above it say, "
        "else the caption for all",
    )


class WanTraining(bpy.types.PropertyGroup):
    """`scene.wan_vse.training`: the settings of the next training."""

    name: StringProperty(
        name="Name",
        description="The name of the LoRA, and of its file",
    )
    trigger: StringProperty(
        name="Trigger",
        description="A word that no language has, such as inkwsh: in a prompt it calls up what was learned. It stands "
        "at the beginning of each caption",
    )
    kind: EnumProperty(
        name="Learns",
        description="What the strips have in common, which is what is learned",
        items=[  # without icons, for which a small window's sidebar has no room
            ("LOOK", "Look", "How everything looks: drawing, grain, light, palette"),
            ("SUBJECT", "Subject", "A character, an object or a place"),
            ("MOTION", "Motion", "How something moves, or the camera. Train it from clips"),
        ],
    )
    length: EnumProperty(
        name="Length",
        description="How long it trains. The more often a small set is seen, the more it is learned by heart",
        items=[
            ("SHORT", "Short", "A quarter of the usual steps, to see whether it works"),
            ("USUAL", "Usual", "The usual number of steps"),
            ("LONG", "Long", "Twice the usual number of steps"),
        ],
        default="USUAL",
    )
    caption: StringProperty(
        name="Caption for All",
        description="What the strips show that have no caption of their own and no text strip above them",
    )
    sample_prompt: StringProperty(
        name="Sample",
        description="A prompt that shows how far it is: now and then a sample is made with it, beside one of the same "
        "seed without the LoRA. Empty: no samples",
    )
    only_with_trigger: BoolProperty(
        name="Only with Trigger",
        description="Also teach the model to stay as it was where a prompt lacks the trigger, so that the LoRA can "
        "stay in the list for all takes. Each step takes more than twice as long. Off: what was learned shows in "
        "every prompt",
        default=False,
    )
    steps: IntProperty(
        name="Steps",
        description="Steps in place of the length's, for each expert of a model with two; 0: the length's",
        default=0,
        min=0,
        max=MAX_TRAINING_STEPS,
    )
    learning_rate: FloatProperty(
        name="Learning Rate",
        description="How far each step goes; 0: what suits the model",
        default=0.0,
        min=0.0,
        max=0.01,
        precision=6,
        step=0.001,
    )
    rank: IntProperty(
        name="Rank",
        description="How much the LoRA can hold, and how large its file is; 0: what suits the model",
        default=0,
        min=0,
        max=MAX_RANK,
    )
    noisy_share: FloatProperty(
        name="Noisy Steps",
        description="The share of the steps on clips that are nearly all noise, where a model settles what a picture "
        "is like as a whole, its palette and light; the others also learn details. 0: what suits the model",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    clips: CollectionProperty(
        name="Strips",
        description="The strips that the LoRA is trained from",
        type=WanClip,
    )
    active_clip: IntProperty(name="Strip", description="The strip whose caption is shown below the list")


CLASSES: tuple[Any, ...] = (WanClip, WanTraining)


def choose(training: Any, names: list[str], extend: bool) -> int:
    """Make those strips the list, or add them to it; returns how many came. Captions of strips that stay are kept."""
    known = {row.name: (row.use, row.caption) for row in training.clips}
    wanted = [*known, *(name for name in names if name not in known)] if extend else names
    training.clips.clear()
    for name in wanted:
        row = training.clips.add()
        row.name = name
        use, row.caption = known.get(name, (True, ""))
        row.use = use or name in names
    training.active_clip = 0
    return sum(name not in known for name in wanted)
