"""Which shapes hold the same numbers in the same order. Standard library only; no torch.

Some formats can't hold all shapes: GGUF has four sides at most, where the first layer of a transformer has five, so
converters run neighbouring sides into one, or leave out those of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from operator import mul

EMBEDDINGS = ("patch_embedding", "vace_patch_embedding")
PATCH = (1, 2, 2)
"""Frames, rows and columns of a patch, in all Wan models."""

Shape = tuple[int, ...]


def fits(found: Shape, wanted: Shape) -> bool:
    """True where `found` is `wanted` but for sides of one, and for neighbouring sides that run into one.

    The two sides of a matrix never do, for a matrix that is turned has as many numbers.
    """
    tight, whole = _tight(found), _tight(wanted)
    if tight == whole:
        return True
    if len(wanted) < 3 or math.prod(tight) != math.prod(whole):
        return False
    return set(_ends(tight)) <= set(_ends(whole))


def restored(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes with those of the first layers as they were before a converter changed them."""
    made = dict(shapes)
    for layer in EMBEDDINGS:
        weight, bias = made.get(f"{layer}.weight"), made.get(f"{layer}.bias")
        if weight is None or bias is None or len(weight) == 5:
            continue
        channels, left = divmod(math.prod(weight), max(1, math.prod(bias)) * math.prod(PATCH))
        whole = (math.prod(bias), channels, *PATCH)
        if not left and channels and fits(weight, whole):
            made[f"{layer}.weight"] = whole
    return made


def _tight(shape: Shape) -> Shape:
    return tuple(side for side in shape if side != 1)


def _ends(shape: Shape) -> list[int]:
    """How many numbers there are from each side on."""
    return list(accumulate(reversed(shape), mul))
