"""Which `prepare` a task has on a model that is not VACE. May import torch, models and protocol.

Text to video is not here: it has the same one on every model.
"""

from __future__ import annotations

from collections.abc import Callable

from ..catalogue.architecture import Layout
from ..loading.residency import Placement
from ..protocol.messages import Plan, TakeRequest, Task
from . import image_conditioning, noised_footage
from .canvas import Canvas
from .conditions import Conditions
from .stopping import ShouldStop
from .text_to_video import Kept

Prepare = Callable[[Placement, TakeRequest, Plan, Canvas, Kept, ShouldStop], Conditions]


_IMAGE: dict[Task, Prepare] = {Task.IMAGE_TO_VIDEO: image_conditioning.prepare}
PREPARE: dict[Layout, dict[Task, Prepare]] = {
    Layout.TEXT: {Task.RESTYLE: noised_footage.prepare},
    Layout.FIRST_PICTURE: _IMAGE,
    Layout.FIRST_AND_LAST: _IMAGE,
    Layout.PICTURES: _IMAGE,
    Layout.FIRST_LATENT: {Task.RESTYLE: noised_footage.prepare, **_IMAGE},
}
