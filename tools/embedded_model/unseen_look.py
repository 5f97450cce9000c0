"""A look that nothing which ships was shown: the clips that a LoRA of it is trained on, and what sees it in a take.

Its word is in no vocabulary: it comes to the text encoder in characters, as any trigger does that a person thinks of.
The look is told by the pixels alone, so nobody had to be taught it. It is one of light: the embedded autoencoder shows
no hue that its training lacked, so a look of color would be in none of the strips as a training sees them. May import
torch.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from . import prompts, world
from .scenes import BACKGROUNDS, COLOURS, MOTIONS, ROUND_SHAPES, SHAPES, UNSEEN_LOOK, Scene, sample_scenes

TRIGGER = UNSEEN_LOOK
CLIPS = 8
"""As few as training says are enough."""
UNTOUCHED = ("colour", "shape")
"""What the judge can say of the shape, which the look leaves as it is."""
_SEED = 20
_SEEN_AT = 0.87
"""The wall is at least 0.91, drawn and after the autoencoder; the palest grounds of other looks are 0.83."""


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


def whiteness(take: Tensor) -> float:
    """How much of each of the three colors at least half of the pixels of a take CTHW in 0..1 have."""
    return float(take.float().amin(0).median())


def is_seen(take: Tensor) -> bool:
    """True where a take CTHW in 0..1 has the look."""
    return whiteness(take) > _SEEN_AT
