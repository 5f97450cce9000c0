"""The error of a source that can't be read."""

from __future__ import annotations

from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence

EXPORT_AGAIN = Sentence("export or copy it again, or choose another strip")
"""Advice for a file that is damaged: there is nothing left to convert."""


CONVERT = Sentence("convert it to MP4 or PNG, or choose another strip")


class UnreadableSource(ValueError):
    """A file has no pictures that can be used; the message says why, as half a sentence.

    Whoever knows the file makes a Refusal of it: "The movie FILE can't be used: MESSAGE; ADVICE."
    """

    def __init__(
        self,
        why: Sentence,
        advice: Sentence = CONVERT,
        kind: ProblemKind = ProblemKind.BAD_SOURCE,
        is_lasting: bool = True,
    ) -> None:
        """`is_lasting`: while the file stays as it is, no process of ours can read it."""
        super().__init__(why)
        self.advice, self.kind, self.is_lasting = advice, kind, is_lasting
