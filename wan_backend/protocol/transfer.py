"""The messages by which media crosses a line to a server that doesn't see the client's disks.

Files travel by their content, piece by piece: what the server has already isn't sent, and what broke off goes on where
it was. Both ends are ours: the relay beside Blender (`wan_backend.relay`) calls, the server answers.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, field

from .errors import INVALID_PARAMS, ProtocolError
from .sentences import NO_SENTENCE, Sentence

MAX_PIECE_BYTES = 512 << 10
"""Of a file in one message; in base64 it still fits in a line."""
MAX_FILES_AT_ONCE = 1000
"""Named in one message, so that its line stays far below the limit."""
MAX_NAMES_COMPARED = 50
"""Of a folder that both machines are said to see; a mount that is missing over there has none of them."""
LINE_TEST_BYTES = 4 << 20
"""At most so many are sent each way to measure a line."""
LIVE_IS_HERE_ALONE = Sentence("Live drafts are made on this machine alone: {name} makes takes.")
"""Said at the option and by the relay, with the other machine's name."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Piece:
    """Bytes of a file."""

    data: str
    """In base64."""
    packed: bool = False
    """True if they are packed by zlib, where that makes them fewer."""


@dataclass(frozen=True)
class Content:
    """The content of a file, whatever its name."""

    sha256: str
    """In 64 hexadecimal digits, as in every message of this kind."""
    size_bytes: int


@dataclass(frozen=True)
class LacksParams:
    """Contents that a job needs; at most MAX_FILES_AT_ONCE."""

    contents: list[Content]


@dataclass(frozen=True)
class LacksResult:
    """How many bytes of each are there already; all of them, if it is whole."""

    bytes_there: list[int]


@dataclass(frozen=True)
class PutParams:
    """The next piece of a content."""

    content: Content
    offset: int
    piece: Piece


@dataclass(frozen=True)
class PutResult:
    """How many bytes are there now. If the piece didn't begin where they end, it was left out."""

    bytes_there: int


@dataclass(frozen=True)
class NamedContent:
    """A file of a folder: a name, and the content that it has."""

    name: str
    sha256: str


@dataclass(frozen=True)
class GatherParams:
    """Contents that are to lie in one folder under their names; further calls add to it."""

    folder: str
    """An id, 32 hexadecimal digits."""
    files: list[NamedContent]


@dataclass(frozen=True)
class PlaceParams:
    """A place for takes: the client's media folder, by an id of 32 hexadecimal digits."""

    place: str


@dataclass(frozen=True)
class FolderResult:
    """The absolute path of a folder at the server."""

    folder: str


@dataclass(frozen=True)
class TakeFile:
    """A file of a take that is, or was, made; or of what a training has brought."""

    name: str
    """Of a training's, the folder may stand before it, with a slash: "step 000250/Harbor 000250.safetensors"."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class TakeFilesParams:
    """A job, whose take's or training's files are wanted, in the order of their names."""

    job_id: str
    after: str = ""
    """The name of the last one that is known; empty: from the first on."""


@dataclass(frozen=True)
class TakeFilesResult:
    """Files of a take or a training. Those of one that is still made may yet be replaced; then their hashes change."""

    files: list[TakeFile]
    whole: bool
    """True if the take, or the training, is finished."""
    more: bool = False
    """True if others follow the last one here."""


@dataclass(frozen=True)
class TakeReadParams:
    """A piece of one of those files, or of a job's preview."""

    job_id: str
    name: str
    offset: int = 0
    most_bytes: int = MAX_PIECE_BYTES


@dataclass(frozen=True)
class TakeReadResult:
    """The piece, empty behind the file's end, and how long the file is."""

    piece: Piece
    size_bytes: int


@dataclass(frozen=True)
class SharedParams:
    """A folder that both machines are said to see, by its path at the server, and some names that the client sees in
    it; at most MAX_NAMES_COMPARED."""

    folder: str
    names: list[str]


@dataclass(frozen=True)
class SharedResult:
    """What the server sees of that folder."""

    there: bool
    """True if it is there and can be read."""
    names_there: int
    """How many of the names it has."""


@dataclass(frozen=True)
class LineTestParams:
    """Bytes that are to be thrown away, and how many are wanted in return."""

    piece: Piece
    reply_bytes: int = 0


@dataclass(frozen=True)
class LinkStatus:
    """The line to a server on another machine, as the relay on this one knows it."""

    connected: bool
    sentence: Sentence = NO_SENTENCE
    """Why there is none, or what is on its way; empty if there is nothing to say."""
    done_bytes: int = 0
    """Of what is on its way."""
    total_bytes: int = 0


@dataclass(frozen=True)
class BackendTest:
    """What a test of a backend found."""

    good: bool
    """True if it can be used."""
    lines: list[Sentence] = field(default_factory=list)
    """What was found, a sentence each; if it can't be used, the last one says why and what to do."""
    ended: bool = False
    """True if nothing more is looked at."""


def is_sha256(text: str) -> bool:
    """Whether it is a hash as these messages have it."""
    return _SHA256.fullmatch(text) is not None


def packed_piece(content: bytes) -> Piece:
    """The piece of these bytes."""
    smaller = zlib.compress(content, 1)
    packed = len(smaller) < len(content) * 0.9
    return Piece(base64.b64encode(smaller if packed else content).decode("ascii"), packed)


def piece_bytes(piece: Piece, most_bytes: int = MAX_PIECE_BYTES) -> bytes:
    """The bytes of a piece. Raises ProtocolError if it has more of them, or none can be made out."""
    try:
        content = base64.b64decode(piece.data, validate=True)
        if piece.packed:
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(content, most_bytes)
            if not unpacking.eof:
                raise ValueError("there is more of it, or less")
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ProtocolError(INVALID_PARAMS, f"A piece of a file can't be unpacked: {error}.") from None
    if len(content) > most_bytes:
        raise ProtocolError(INVALID_PARAMS, f"A piece of a file has more than {most_bytes:,} bytes.")
    return content
