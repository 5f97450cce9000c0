"""Whether a folder that both machines are said to see really is one folder: by names in it; nothing is written.

A share that isn't mounted over there is an empty folder of that machine's own, and what is written into it never comes.
"""

from __future__ import annotations

import os

from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import ProblemKind
from ..protocol.plain_names import is_encodable, is_name
from ..protocol.sentences import Sentence
from ..protocol.transfer import MAX_NAMES_COMPARED, SharedParams, SharedResult
from .places import PathPair

LOOKED_AT = 1000
"""Names that are read at most of a large folder."""


class NotHere(Exception):
    """This machine doesn't see the folder; the sentence says so."""

    def __init__(self, pair: PathPair) -> None:
        super().__init__(pair.near)
        self.sentence = Sentence("The shared folder {folder} is not on this machine.", folder=pair.near)


def question(pair: PathPair) -> SharedParams:
    """What the other machine is asked of a pair. It reads the folder here. Raises NotHere."""
    names: list[str] = []
    try:
        with os.scandir(pair.near) as entries:
            for _, entry in zip(range(LOOKED_AT), entries, strict=False):
                if _is_seen_alike(entry.name):
                    names.append(entry.name)
    except (OSError, ValueError):
        raise NotHere(pair) from None
    return SharedParams(pair.far, sorted(names)[:MAX_NAMES_COMPARED])


def what_is_wrong(pair: PathPair, asked: SharedParams, seen: SharedResult, machine: str) -> Sentence | None:
    """Why the folders are not the same; None if they seem to be."""
    if not seen.there:
        return Sentence(
            "{name} has no folder {far}, which is to be {near} here: mount it there, or correct the shared folders in "
            "the preferences.",
            name=machine,
            far=pair.far,
            near=pair.near,
        )
    if seen.names_there * 2 < len(asked.names):
        return Sentence(
            "{far} on {name} is not the folder {near} here, as it lacks what lies in that: mount it there, or correct "
            "the shared folders in the preferences.",
            name=machine,
            far=pair.far,
            near=pair.near,
        )
    return None


def refusal(sentence: Sentence) -> ProtocolError:
    """The error of a request that needs the folder."""
    return Refusal.of(ProblemKind.BAD_SETTING, sentence)


def _is_seen_alike(name: str) -> bool:
    """Whether each system shows that name as it is; those with a dot are often one system's own."""
    return not name.startswith(".") and is_name(name, windows=True) and is_encodable(name, "strict")
