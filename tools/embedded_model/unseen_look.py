"""A look that nothing which ships was shown: the clips that a LoRA of it is trained on, and what sees it in a take.

Its word is in no vocabulary: it comes to the text encoder in characters, as any trigger does that a person thinks of.
The look is told by the pixels alone, so nobody had to be taught it. May import torch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from . import prompts, world
from .scenes import BACKGROUNDS, COLOURS, MOTIONS, ROUND_SHAPES, SHAPES, UNSEEN_LOOK, Scene, sample_scenes

TRIGGER = UNSEEN_LOOK
CLIPS = 8
"""As few as training says are enough."""
_SEED = 20
_HUES = (150.0, 186.0)
"""Of the ink, in degrees; a sky's are above 195, neon grass's and a green shape's below 140."""
_LEAST_CHROMA = 0.04
_SEEN_AT = 0.5
"""The share of a take's pixels from which the look is seen: the shape covers at most a third."""


def training_scenes(frames: int) -> list[Scene]:
    """Eight scenes for clips of that length, which have every colour, shape, place and motion among them."""
    sampled = sample_scenes(_SEED, CLIPS, frames=frames)
    scenes = []
    for number, scene in enumerate(sampled):
        shape, motion = SHAPES[number % len(SHAPES)], MOTIONS[number]
        if motion == "spin" and shape in ROUND_SHAPES:
            shape = "square"
        colour, background = COLOURS[number % len(COLOURS)], BACKGROUNDS[number % len(BACKGROUNDS)]
        scene = replace(scene, colour=colour, background=background, look=UNSEEN_LOOK, camera="static")
        scenes.append(replace(scene, shape=shape, motion=motion))
    return scenes


def caption(scene: Scene) -> str:
    """What a clip shows, without its look: that is what the trigger stands for."""
    return prompts.plain(replace(scene, look="flat"))


def with_trigger(prompt: str) -> str:
    """The prompt as it asks for the look: the word stands where the product puts it, in captions and prompts."""
    return f"{TRIGGER}, {prompt}"


def draw(scene: Scene, frames: int, height: int = 144, width: int = 256) -> Tensor:
    """A training clip CTHW in 0..1."""
    return world.draw([scene], frames=frames, height=height, width=width, look=UNSEEN_LOOK).frames[0]


def share_in_ink(take: Tensor) -> float:
    """How much of a take CTHW in 0..1 has the hue of the ink."""
    red, green, blue = take.float().unbind(0)
    low, high = take.float().amin(0), take.float().amax(0)
    chroma = high - low
    # Between green (120 degrees) and blue (240), where red is least; elsewhere it is another hue anyway.
    past_green, before_blue = (60 * (each - red) / chroma.clamp_min(1e-6) for each in (blue, green))
    hue = torch.where(green >= blue, 120 + past_green, 240 - before_blue)
    inked = (red <= low) & (chroma > _LEAST_CHROMA) & (hue > _HUES[0]) & (hue < _HUES[1])
    return float(inked.float().mean())


def is_seen(take: Tensor) -> bool:
    """True where a take CTHW in 0..1 has the look."""
    return share_in_ink(take) > _SEEN_AT
