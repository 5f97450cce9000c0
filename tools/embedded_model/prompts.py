"""Says a scene in natural words, with synonyms, parts left out, and words that mean nothing here.

Standard library alone. What a prompt does not say is anything; a look that is not said is flat.
"""

from __future__ import annotations

import random

from .scenes import LORA_LOOK, Scene

COLOUR_WORDS = {
    "red": ("red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "amber", "tangerine"),
    "yellow": ("yellow", "yellow", "lemon"),
    "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "cobalt"),
    "purple": ("purple", "purple", "violet"),
    "white": ("white", "white", "ivory"),
}
SHAPE_WORDS = {
    "circle": ("circle", "ball", "disc", "dot"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "pyramid", "wedge"),
    "star": ("star", "star", "starfish"),
    "ring": ("ring", "hoop", "donut"),
}
BACKGROUND_WORDS = {
    "sky": ("in the sky", "in front of a cloudy sky", "against the clouds", "over a day sky"),
    "sand": ("on sand", "over desert dunes", "on a beach", "on the sand"),
    "night": ("over a night sky", "at night", "under the stars", "in starry darkness"),
    "grass": ("on grass", "over a meadow", "on a lawn", "in a grassy field"),
}
MOTION_WORDS = {
    "still": ("rests", "stays still", "is at rest", ""),
    "left": ("moves left", "drifts to the left", "slides to the left", "glides leftwards"),
    "right": ("moves right", "drifts to the right", "slides to the right", "glides rightwards"),
    "up": ("moves up", "rises", "floats upwards", "climbs"),
    "down": ("moves down", "falls", "sinks", "drops downwards"),
    "spin": ("spins", "rotates", "twirls", "turns around"),
    "grow": ("grows", "gets bigger", "swells", "expands"),
    "shrink": ("shrinks", "gets smaller", "dwindles", "contracts"),
}
CAMERA_WORDS = {
    "static": ("", "", "static camera", "locked shot"),
    "pan left": ("the camera pans left", "pan left", "panning to the left"),
    "pan right": ("the camera pans right", "pan right", "panning to the right"),
    "tilt up": ("the camera tilts up", "tilt up", "tilting upwards"),
    "tilt down": ("the camera tilts down", "tilt down", "tilting downwards"),
    "zoom in": ("the camera zooms in", "zoom in", "slow dolly forward", "push in"),
    "zoom out": ("the camera zooms out", "zoom out", "dolly backward", "pull out"),
}
LOOK_WORDS = {
    "flat": ("", "", "flat", "flat colours", "a flat cartoon"),
    "sketch": ("sketch", "pencil sketch", "drawn with a pencil", "as a sketch"),
    "neon": ("neon", "neon lights", "glowing neon", "in neon"),
    "watercolour": ("watercolour", "watercolor", "a watercolour painting", "painted in watercolour"),
    LORA_LOOK: ("blueprint", "a blueprint", "as a blueprint"),
}
FILLERS = tuple(
    """cinematic|high quality|detailed|beautiful|smooth motion|4k|a video of|footage|masterpiece|soft light
    |dramatic|gentle|peaceful|old|strange|wonderful|city|forest|river|house|dog|cat|woman|man|mountain|fog
    |pine|dawn|street|film|grainy|realistic|wide shot|close up|blurry|low quality|ugly|distorted|slowly
    |quickly|suddenly|happy|sad|music|table|window""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)


def _anything(rng: random.Random) -> str:
    """A filler, or letters that are no word."""
    if rng.random() < 0.7:
        return rng.choice(FILLERS)
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 8)))


def describe(scene: Scene, rng: random.Random, *, said: float = 0.9) -> str:
    """A prompt for the scene; each thing but the look is said with the chance `said`."""

    def maybe(words: str) -> str:
        return words if rng.random() < said else ""

    colour = maybe(rng.choice(COLOUR_WORDS[scene.colour]))
    shape = maybe(rng.choice(SHAPE_WORDS[scene.shape])) or rng.choice(("shape", "thing", "object"))
    article = rng.choice(("a", "a", "the", "one", ""))
    subject = " ".join(word for word in (article, colour, shape) if word)
    motion = maybe(rng.choice(MOTION_WORDS[scene.motion]))
    place = maybe(rng.choice(BACKGROUND_WORDS[scene.background]))
    camera = maybe(rng.choice(CAMERA_WORDS[scene.camera]))
    look = rng.choice(LOOK_WORDS[scene.look])
    clause = " ".join(word for word in (subject, motion, place) if word)
    if motion and place and rng.random() < 0.25:
        clause = f"{place} {subject} {motion}"
    extras = [words for words in (camera, look) if words]
    rng.shuffle(extras)
    parts = [clause, *extras]
    if look and rng.random() < 0.2:
        parts = [look, *(part for part in parts if part is not look)]
    while rng.random() < 0.2:
        parts.insert(rng.randint(0, len(parts)), _anything(rng))
    text = rng.choice((", ", ", ", ", ", ". ")).join(parts)
    return text[:1].upper() + text[1:] if rng.random() < 0.3 else text


def plain(scene: Scene) -> str:
    """The scene in its plainest words, everything said: what is asked for where obedience is measured."""
    motion = MOTION_WORDS[scene.motion][0]
    camera = "" if scene.camera == "static" else f", {CAMERA_WORDS[scene.camera][0]}"
    look = "" if scene.look == "flat" else f", {LOOK_WORDS[scene.look][0]}"
    return f"a {scene.colour} {scene.shape} {motion} {BACKGROUND_WORDS[scene.background][0]}{camera}{look}"


def vocabulary() -> list[str]:
    """Every word that `describe` can say, in lower case, sorted."""
    tables = (COLOUR_WORDS, SHAPE_WORDS, BACKGROUND_WORDS, MOTION_WORDS, CAMERA_WORDS, LOOK_WORDS)
    phrases = [phrase for table in tables for choices in table.values() for phrase in choices]
    phrases += [*FILLERS, "a the one shape thing object"]
    return sorted({word for phrase in phrases for word in phrase.lower().split()})
