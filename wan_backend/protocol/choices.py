"""What can be chosen, and what a job or a source can be: the words that messages are made with. Standard library only.

They are to be imported from messages.py.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. The last four are ends; a job that ended can be retried."""

    QUEUED = "queued"
    LOADING = "loading"
    ENCODING = "encoding"
    DENOISING = "denoising"
    DECODING = "decoding"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """True where the job will not go on by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)


class Task(StrEnum):
    """What is asked for. A request's `task` is one of these."""

    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    RESTYLE = "restyle"
    FILL_GAP = "fill_gap"
    EXTEND = "extend"
    PREVIS = "previs"


class Role(StrEnum):
    """What a source is to the take that is made from it."""

    FIRST = "first"
    """One picture, which the take begins on (image to video)."""
    LAST = "last"
    """One picture, which the take ends on (image to video)."""
    FOOTAGE = "footage"
    """As many frames as the take, which it follows (restyle)."""
    BEFORE = "before"
    """The frames right before the take, the last one touching it (fill gap, extend forward)."""
    AFTER = "after"
    """The frames right after the take, the first one touching it (fill gap, extend backward)."""
    DEPTH = "depth"
    """As many frames as the take: depth as grey levels, near is bright (previs)."""
    LOOK = "look"
    """One picture that says what the take looks like (previs)."""


TELLING_ROLES = frozenset({Role.FIRST, Role.BEFORE, Role.AFTER, Role.LOOK})
"""Sources that show by themselves what is to be seen: with one of them, a prompt may be empty."""


class Guide(StrEnum):
    """What of the footage a restyled take keeps to. A previs keeps to its depth, or to the edges of that."""

    NONE = "none"
    DEPTH = "depth"
    EDGES = "edges"
    FRAMES = "frames"


class Conform(StrEnum):
    """How the model's frames become the scene's, where their rates differ."""

    FLOW = "flow"
    """Frames between two are made by following the motion."""
    REPEAT = "repeat"
    """The frame nearest in time is shown."""


class Quality(StrEnum):
    """How much work a take is worth; the catalogue says what it means for each model."""

    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"


class Decoder(StrEnum):
    """What makes the pictures of the model's latents."""

    WHOLE = "whole"
    """The model's own autoencoder."""
    TINY = "tiny"
    """A tiny one: quicker, in less memory, with softer detail."""


class MediaFormat(StrEnum):
    """How a take is kept: numbered PNG files, or one movie file."""

    PNG = "png"
    FFV1 = "ffv1"
    H264 = "h264"
