"""The size that a model makes for the one that was asked for, with a note of what was changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..catalogue.entries import ModelEntry, NamedSize
from ..protocol.messages import Fix, FixSetting, Problem, ProblemKind
from ..protocol.sentences import Sentence

SAME_ASPECT = 1.03
"""A named size is taken unchanged where its aspect differs by no more than this factor: models are at their best at the
sizes that they were trained at, and filling the frame then crops less than 3%."""
MAX_EXCESS = 1.06
"""How far a size may go over the pixels of its name for the sake of a better aspect, as a factor."""


@dataclass(frozen=True)
class SnappedSize:
    """A size that the model can make, with sentences that say what was changed."""

    width: int
    height: int
    notes: list[Sentence]


def snap(entry: ModelEntry, width: int, height: int, resolution: str = "exact") -> SnappedSize | Problem:
    """The size for `resolution`: `exact` is width x height; a name is that many pixels in width:height.

    A Problem if there is no such size.
    """
    if width < 1 or height < 1:
        return _problem(
            entry,
            Sentence(
                "A size of {width}x{height} has no pixels; give a width and a height of 1 or more.",
                width=width,
                height=height,
            ),
        )
    if resolution == "exact":
        return _snap_exact(entry, width, height)
    named = entry.size(resolution)
    if named is None:
        names = ", ".join(size.name for size in entry.sizes)
        return _problem(
            entry,
            Sentence(
                "{model} has no size '{resolution}'; choose one of {names}.",
                model=entry.label,
                resolution=resolution[:40],
                names=names,
            ),
        )
    return _snap_named(entry, width / height, named)


def least_size(entry: ModelEntry, width: int, height: int) -> SnappedSize | Problem:
    """The least size in about the aspect of width:height. A Problem if there is no such aspect."""
    asked = snap(entry, width, height)
    if isinstance(asked, Problem):
        return asked
    return SnappedSize(*_nearest(entry, width / height, smallest_pixels(entry)), [])


def default_size(entry: ModelEntry) -> SnappedSize:
    """The size that the model makes if nothing else is asked for."""
    named = entry.size(entry.default_size)
    assert named is not None, "the catalogue was checked when it was read"
    return _snap_named(entry, named.width / named.height, named)


def _problem(entry: ModelEntry, sentence: Sentence) -> Problem:
    fix = Fix(Sentence("Use {size}", size=entry.default_size), FixSetting.RESOLUTION, entry.default_size)
    return Problem(ProblemKind.BAD_SIZE, sentence, [fix])


def _snap_named(entry: ModelEntry, aspect: float, named: NamedSize) -> SnappedSize:
    notes = []
    if not named.trained:
        notes.append(
            Sentence(
                "{model} was trained at smaller sizes: at {size}, things may repeat.",
                model=entry.label,
                size=named.name,
            )
        )
    if named.width % entry.multiple == 0 and named.height % entry.multiple == 0:
        for native in ((named.width, named.height), (named.height, named.width)):
            if _aspect_error(*native, aspect) <= math.log(SAME_ASPECT):
                return SnappedSize(*native, notes)
    best = _nearest(entry, aspect, named.width * named.height)
    return SnappedSize(*best, notes + _aspect_notes(entry, aspect, *best))


def largest_pixels(entry: ModelEntry) -> int:
    """The most pixels that a frame of the model may have, unless a larger size is asked for by name."""
    return max(size.width * size.height for size in entry.sizes if size.trained)


def smallest_pixels(entry: ModelEntry) -> int:
    """The fewest pixels that a frame of the model may have."""
    fewest = min(size.width * size.height for size in entry.sizes)
    return min(fewest, entry.sides[0] * entry.sides[0])


def _snap_exact(entry: ModelEntry, width: int, height: int) -> SnappedSize:
    pixels, aspect = width * height, width / height
    maximum, minimum = largest_pixels(entry), smallest_pixels(entry)
    if pixels > maximum * MAX_EXCESS:
        best = _nearest(entry, aspect, maximum)
        return SnappedSize(
            *best,
            [
                Sentence(
                    "{asked} became {size}, the most that {model} can do.",
                    asked=_name(width, height),
                    size=_name(*best),
                    model=entry.label,
                )
            ],
        )
    if pixels < minimum:
        best = _nearest(entry, aspect, minimum)
        return SnappedSize(
            *best,
            [
                Sentence(
                    "{asked} became {size}, the least that {model} can do.",
                    asked=_name(width, height),
                    size=_name(*best),
                    model=entry.label,
                )
            ],
        )
    best = _side(entry, width), _side(entry, height)
    if best == (width, height):
        return SnappedSize(width, height, [])
    low, high = entry.sides
    note = (
        Sentence("{asked} became {size}: the model needs multiples of {multiple}.")
        if low <= width <= high and low <= height <= high
        else Sentence("{asked} became {size}: the model needs multiples of {multiple} between {low} and {high}.")
    )
    values = {"asked": _name(width, height), "size": _name(*best), "multiple": entry.multiple, "low": low, "high": high}
    return SnappedSize(*best, [note.with_values(**values)])


def _nearest(entry: ModelEntry, aspect: float, pixels: int) -> tuple[int, int]:
    """The size of about `pixels` whose aspect is nearest; among equals, the one with the most pixels."""
    aspect = min(max(aspect, entry.sides[0] / entry.sides[1]), entry.sides[1] / entry.sides[0])
    ideal_height = math.sqrt(pixels / aspect)
    candidates = set()
    for step in (-1, 0, 1, 2):
        height = _side(entry, (ideal_height // entry.multiple + step) * entry.multiple)
        candidates.add((_side(entry, height * aspect), height))
    fitting = [size for size in candidates if size[0] * size[1] <= pixels * MAX_EXCESS] or [min(candidates)]
    return min(fitting, key=lambda size: _cost(size, aspect, pixels))


def _cost(size: tuple[int, int], aspect: float, pixels: int) -> float:
    """The aspect counts most: a wrong one crops the picture, a few pixels fewer only soften it."""
    return _aspect_error(*size, aspect) + 0.1 * abs(math.log(size[0] * size[1] / pixels))


def _aspect_error(width: int, height: int, aspect: float) -> float:
    return abs(math.log(width / height / aspect))


def _aspect_notes(entry: ModelEntry, aspect: float, width: int, height: int) -> list[Sentence]:
    if _aspect_error(width, height, aspect) <= math.log(1.1):
        return []
    return [
        Sentence(
            "The closest that {model} comes to this shape is {size}; the frame is cropped to fit.",
            model=entry.label,
            size=_name(width, height),
        )
    ]


def _side(entry: ModelEntry, value: float) -> int:
    snapped = round(value / entry.multiple) * entry.multiple
    return int(min(max(snapped, entry.sides[0]), entry.sides[1]))


def _name(width: int, height: int) -> str:
    return f"{width}x{height}"
