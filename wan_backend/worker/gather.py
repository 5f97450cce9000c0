"""Reads a request's sources into the canvas of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..catalogue import entries
from ..frames import source_frames
from ..frames.schedule import Schedule
from ..memory.needs import PLAIN_TOKEN_PIXELS
from ..pipelines.conditions import Canvas
from ..pipelines.stopping import ShouldStop, check, never
from ..protocol.messages import Guide, Plan, Role, Source, TakeRequest, Task
from .source_reader import Read

DepthOf = Callable[[np.ndarray], np.ndarray]
"""A function from footage (T, H, W, 3) to its depth, as pictures of that shape."""


def gather(
    request: TakeRequest,
    plan: Plan,
    depth_of: DepthOf,
    should_stop: ShouldStop = never,
    read: Read = source_frames.read,
) -> Canvas:
    """The pictures that `request` names, at the plan's size and rate. Raises Refusal (bad_source), or Stopped.

    `depth_of` is called only if the depth of footage is the guide and no source gives it; `read` reads the sources.
    """
    gatherer = Gatherer(request, plan, depth_of, should_stop, read)
    return with_pictures(_of_task(request, gatherer), gatherer.kept_pictures())


def with_pictures(canvas: Canvas, pictures: dict[int, np.ndarray]) -> Canvas:
    """The canvas with the pictures that the take keeps at chosen frames; footage has them in its place."""
    if canvas.footage is not None:
        for frame, picture in pictures.items():
            canvas.footage[frame] = picture
    return replace(canvas, pictures=pictures)


def _of_task(request: TakeRequest, gatherer: Gatherer) -> Canvas:
    """What the task itself is made from."""
    if request.task == Task.IMAGE_TO_VIDEO:
        return Canvas(kept=gatherer.ends())
    if request.task in (Task.FILL_GAP, Task.EXTEND):
        kept = {**gatherer.pictures(Role.BEFORE), **gatherer.pictures(Role.AFTER)}
        return Canvas(kept=kept, handles=gatherer.handles())
    if request.task == Task.RESTYLE:
        return gatherer.footage()
    if request.task == Task.PREVIS:
        return gatherer.blocking()
    if request.task == Task.EDIT:
        return gatherer.edited()
    return Canvas()


class Gatherer:
    """Reads the sources of one request, each in the form that its role asks for."""

    def __init__(
        self, request: TakeRequest, plan: Plan, depth_of: DepthOf, should_stop: ShouldStop, read: Read
    ) -> None:
        self._request, self._plan = request, plan
        self._depth_of, self._should_stop, self._read_source = depth_of, should_stop, read
        self._schedule = Schedule.of(plan, request)

    def pictures(self, role: Role) -> dict[int, np.ndarray]:
        """The pictures of the source of that role, by the model's frames that show it; none without a source."""
        source = self._request.source(role)
        return {} if source is None else dict(self._read(source))

    def handles(self) -> dict[int, np.ndarray]:
        """The frames of the neighbors that the take has as handles, one for each frame of the scene."""
        plan, before, after = self._plan, self._request.source(Role.BEFORE), self._request.source(Role.AFTER)
        handles: dict[int, np.ndarray] = {}
        if before is not None:
            frames = range(-plan.handle_before, 0)
            handles.update(self._shown_by(before, {frame: before.frames + frame for frame in frames}))
        if after is not None:
            frames = range(plan.take_frames, plan.take_frames + plan.handle_after)
            handles.update(self._shown_by(after, {frame: frame - plan.take_frames for frame in frames}))
        return handles

    def ends(self) -> dict[int, np.ndarray]:
        """The first picture at the first frame; the last one from where the take ends to the model's last frame."""
        first, last = self.pictures(Role.FIRST), self.pictures(Role.LAST)
        if not last:
            return first
        shown = range(self._schedule.last_picture_start, self._plan.model_frames)
        return {**first, **dict.fromkeys(shown, last[0])}

    def kept_pictures(self) -> dict[int, np.ndarray]:
        """The pictures that the take keeps at chosen frames, by the model's frames."""
        return dict(each for source in self._request.kept_pictures for each in self._read(source))

    def footage(self) -> Canvas:
        """The footage to restyle, with its guide."""
        guide, footage = self._request.guide, self._film(Role.FOOTAGE)
        depth = self._film(Role.DEPTH) if guide is Guide.DEPTH else None
        if depth is None and footage is not None:
            return Canvas(guide=self._guide(footage, guide), footage=footage)
        return Canvas(guide=depth, footage=footage)

    def edited(self) -> Canvas:
        """The footage to edit, and the pictures of what it is to get."""
        footage = self._film(Role.FOOTAGE)
        return Canvas(footage=footage, references=tuple(map(self._reference, self._request.references)))

    def _reference(self, source: Source) -> np.ndarray:
        """A reference picture in a shape of its own, whole and without the scene's frame around it.

        Its long side is at most the take's, as in the makers' program, and its sides are multiples of a token's. One
        that Blender rendered fills the scene's frame, and so has the take's shape.
        """
        plan, framing = self._plan, source.framing
        if source.pictures is None:
            width, height = plan.width, plan.height
        else:
            across, down = source.pictures.shown_size()
            if framing is not None:  # what is cropped away is not to be seen
                across = round(across - framing.crop_left - framing.crop_right)
                down = round(down - framing.crop_top - framing.crop_bottom)
            width, height = _reference_size(max(1, across), max(1, down), max(plan.width, plan.height))
            if framing is not None:
                framing = replace(
                    framing, canvas_width=width, canvas_height=height, x=0.0, y=0.0, width=width, height=height
                )
        (picture,) = self._read_source(replace(source, framing=framing), [0], width, height, (width, height))
        check(self._should_stop)
        return picture

    def blocking(self) -> Canvas:
        """The scene's depth or its outlines, and the picture of its look: a reference, or else the first frame."""
        look, depth = self.pictures(Role.LOOK), self._film(Role.DEPTH)
        if depth is not None and self._request.guide is Guide.EDGES:
            depth = self._guide(depth, Guide.EDGES)
        if look and not _takes_references(self._plan.model):
            return Canvas(kept=look, guide=depth)
        return Canvas(guide=depth, look=look.get(0))

    def _guide(self, footage: np.ndarray, guide: Guide) -> np.ndarray | None:
        if guide is Guide.FRAMES:
            return footage
        if guide is Guide.EDGES:
            lines = np.empty_like(footage)
            for index, picture in enumerate(footage):
                check(self._should_stop)
                lines[index] = source_frames.edges(picture)
            return lines
        if guide is Guide.DEPTH:
            return self._depth_of(footage)
        return None

    def _film(self, role: Role) -> np.ndarray | None:
        """(model frames, H, W, 3) from the source of that role, or None if there is none."""
        source = self._request.source(role)
        if source is None:
            return None
        film = np.zeros((self._plan.model_frames, self._plan.height, self._plan.width, 3), np.uint8)
        for frame, picture in self._read(source):
            film[frame] = picture
        return film

    def _read(self, source: Source) -> Iterator[tuple[int, np.ndarray]]:
        """The model's frames that show `source`, in order, each with its picture."""
        return self._shown_by(source, self._schedule.frames_of(source))

    def _shown_by(self, source: Source, shown: dict[int, int]) -> Iterator[tuple[int, np.ndarray]]:
        """The frames of `source` that `shown` has, by its keys, in order."""
        if not shown:
            return
        plan, scene_size = self._plan, (self._request.width, self._request.height)
        pictures = self._read_source(source, list(shown.values()), plan.width, plan.height, scene_size)
        for frame, picture in zip(shown, pictures, strict=True):
            check(self._should_stop)
            yield frame, picture


def _reference_size(width: int, height: int, most: int) -> tuple[int, int]:
    """Width and height of a picture in about its own shape, no larger than it is, of which no side is over `most`."""
    share = min(1.0, most / max(width, height))
    multiple = PLAIN_TOKEN_PIXELS
    across, down = (max(multiple, round(side * share / multiple) * multiple) for side in (width, height))
    return min(across, most // multiple * multiple), min(down, most // multiple * multiple)


def _takes_references(model: str) -> bool:
    try:
        return entries.entry(model).references
    except entries.UnknownModel:
        return True
