"""What a take is made from beside its prompt, as pictures of the model's size and rate. May import numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Canvas:
    """Every picture is (height, width, 3) uint8 RGB, of the plan's size; frames are the model's, from 0."""

    kept: dict[int, np.ndarray] = field(default_factory=dict)
    """Frames that are given: what the model makes continues them."""
    guide: np.ndarray | None = None
    """(model frames, H, W, 3): what shapes the frames that are made, as depth, edges, or the footage itself."""
    footage: np.ndarray | None = None
    """(model frames, H, W, 3): the frames that are made anew, for a strength of less than 1."""
    look: np.ndarray | None = None
    """A picture of how it is to look, which is no frame of it."""
