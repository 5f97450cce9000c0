"""What a file is that a person sent to the page in a browser, as the process that looked at it wrote it down."""

from __future__ import annotations

from dataclasses import dataclass

from .sentences import NO_SENTENCE, Sentence
from .takes import FrameRate, Pictures


@dataclass(frozen=True)
class Upload:
    """A picture or a movie that takes can be made from; or why there is none."""

    width: int = 0
    """As it is seen: turned, if its camera was."""
    height: int = 0
    is_movie: bool = False
    frames: int = 1
    rate_numerator: int = 0
    """Of a movie's frames a second, which are this by the next."""
    rate_denominator: int = 1
    pictures: Pictures | None = None
    """What a reader has to find again in the file as it came, and how to turn it."""
    file: str = ""
    """The name that takes read, in the upload's own folder."""
    problem: Sentence = NO_SENTENCE
    """A clause that says why it can't be used; empty if it can."""
    mirrored: bool = False
    """Whether a picture is seen mirrored, left to right, once it is turned."""

    @property
    def frame_rate(self) -> FrameRate:
        """A movie's rate, as requests have it."""
        rate = self.rate_numerator / self.rate_denominator
        return FrameRate(fps := max(1, round(rate)), fps / rate)
