"""What can be in a clip of the embedded model's world, and the sampling of scenes from a seed.

Pure Python and numpy-free: no torch here, so that tests and tools can list the world's words.
Positions are fractions of the frame (x right, y down, the centre is 0,0), radii are fractions of
the frame's height, angles radians, `travel` what is covered from the first frame to the last.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
SHAPES = ("circle", "square", "triangle", "star", "ring")
BACKGROUNDS = ("sky", "sand", "night", "grass")
LOOKS = ("flat", "sketch", "neon", "watercolour")
LORA_LOOK = "blueprint"  # never in the base model's training: what the style LoRA teaches
UNSEEN_LOOK = "cyclorama"
"""Nothing that ships was ever shown it: what a LoRA is trained on where it is measured how well training works."""
MOTIONS = ("still", "left", "right", "up", "down", "spin", "grow", "shrink")
CAMERAS = ("static", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out")
ROUND_SHAPES = ("circle", "ring")  # a spin of these cannot be seen


@dataclass(frozen=True)
class Scene:
    """One clip, whole: the same scene gives the same frames on every machine up to rounding."""

    colour: str
    shape: str
    background: str
    look: str
    motion: str
    camera: str
    x: float
    y: float
    travel: float
    radius: float
    growth: float
    angle: float
    spin: float
    camera_travel: float
    zoom: float
    nearness: float
    texture_seed: int

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The combination that is held out, or not."""
        return self.colour, self.shape, self.background, self.look


def is_held_out(words: tuple[str, str, str, str]) -> bool:
    """One combination of colour, shape, background and look in twelve is never trained on."""
    return zlib.crc32(" ".join(words).encode()) % 12 == 0


def _pick_words(rng: random.Random, held_out: bool) -> tuple[str, str, str, str]:
    while True:
        words = (
            rng.choice(COLOURS),
            rng.choice(SHAPES),
            rng.choice(BACKGROUNDS),
            rng.choice(LOOKS),
        )
        if is_held_out(words) == held_out:
            return words


def _pick_action(rng: random.Random, shape: str) -> tuple[str, str]:
    motion = rng.choice(MOTIONS)
    if motion == "spin" and shape in ROUND_SHAPES:
        motion = rng.choice(("left", "right", "up", "down", "grow", "shrink"))
    camera = "static" if rng.random() < 0.5 else rng.choice(CAMERAS[1:])
    if camera.startswith("zoom") and motion in ("grow", "shrink"):
        motion = "still"  # the two could not be told apart in the frame
    return motion, camera


def reach_of(frames: int) -> float:
    """How much of the usual way is covered in so many frames: less in short clips, so that the speed stays readable."""
    return min(1.1, max(0.5, (frames - 1) / 32))


def sample_scene(rng: random.Random, *, held_out: bool = False, frames: int = 33) -> Scene:
    """Draw a scene's numbers, for a clip of so many frames."""
    colour, shape, background, look = _pick_words(rng, held_out)
    motion, camera = _pick_action(rng, shape)
    reach = reach_of(frames)
    travel = {"left": rng.uniform(0.40, 0.58), "right": rng.uniform(0.40, 0.58)}.get(motion, rng.uniform(0.36, 0.5))
    camera_travel = rng.uniform(0.26, 0.42) if "pan" in camera else rng.uniform(0.3, 0.48)
    x, y = rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15)
    if motion in ("left", "right"):
        x *= 0.4
    if motion in ("up", "down"):
        y *= 0.4
    return Scene(
        colour=colour,
        shape=shape,
        background=background,
        look=look,
        motion=motion,
        camera=camera,
        x=x,
        y=y,
        travel=travel * reach,
        radius=rng.uniform(0.13, 0.2),
        growth=1 + rng.uniform(0.9, 1.5) * reach,
        angle=rng.uniform(-0.35, 0.35),
        spin=rng.choice((-1, 1)) * rng.uniform(0.8, 1.3) * math.pi * reach,
        camera_travel=camera_travel * reach,
        zoom=1 + rng.uniform(0.5, 0.8) * reach,
        nearness=rng.uniform(0.7, 1.0),
        texture_seed=rng.randrange(2**31),
    )


def sample_scenes(seed: int, count: int, *, held_out: bool = False, frames: int = 33) -> list[Scene]:
    """`count` scenes from one seed; training uses seeds under 10**6, evaluation those above."""
    rng = random.Random(seed)
    return [sample_scene(rng, held_out=held_out, frames=frames) for _ in range(count)]
