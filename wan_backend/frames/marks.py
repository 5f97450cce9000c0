"""Marks that say that media was generated, as Article 50 of the EU's AI Act asks: written to takes, read from sources.

A take's XMP packet holds IPTC's `DigitalSourceType`, the model and the program, never the prompt or a path. It stands
where each format has it: an iTXt chunk of a PNG file, a uuid box of an MP4 file, an attachment and tags of a Matroska
file. A source's marks are searched for in its first and last bytes, as XMP is made for; nothing of it is interpreted
but the type's address.

Sources: the XMP specification, part 3 (ISO 16684-1's companion); IPTC Photo Metadata Standard 2025.1;
https://cv.iptc.org/newscodes/digitalsourcetype/; C2PA specification 2.1, "Embedding manifests".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ..protocol.messages import MAX_SHOWN_FILES, TakeRequest
from ..storage.signing import SOURCE_TYPES

GENERATED = SOURCE_TYPES + "trainedAlgorithmicMedia"
"""Made by a model from words alone, or along a camera's move: none of the pictures is given."""
COMPOSITE = SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
"""Made by a model from footage, pictures or a scene."""
PROGRAM = "Wan VSE"

SEARCHED_BYTES = 1 << 20
"""So much of a source's beginning and end is searched; XMP and C2PA manifests of pictures and movies lie there."""

_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_PNG_HEAD = 8 + 25
"""The signature of a PNG file and its first chunk, IHDR: the chunk with XMP follows."""
_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType(?:\s*=\s*[\"']|(?:\s+rdf:resource\s*=\s*[\"'])|\s*>)\s*([\x21\x23-\x26\x28-\x3b\x3d\x3f-\x7e]{1,200})"
)
_C2PA = re.compile(rb"jumb.{0,40}c2pa", re.DOTALL)


@dataclass(frozen=True)
class SourceMark:
    """What a source's file says of itself."""

    file: str
    """Its name, without its folder."""
    digital_source_type: str = ""
    """The address of IPTC's term; "" if it has none."""
    c2pa: bool = False
    """True if it carries a C2PA manifest (Content Credentials), which a take can't carry on."""


@dataclass(frozen=True)
class Marks:
    """What a take's files say of themselves."""

    digital_source_type: str
    model: str
    """The id of the catalogue."""
    program: str
    """Name and version."""
    sources: list[SourceMark] = field(default_factory=list)
    """Sources that carry marks of their own."""
    signed: bool = False
    """True if the take's movie carries Content Credentials (C2PA), signed by the person."""

    @classmethod
    def of(cls, request: TakeRequest, version: str, on_read: Callable[[str], None] = lambda _place: None) -> Marks:
        """The marks of a take that this request asks for, with those that its sources carry.

        `on_read(place)` is called before a file is read, and with "" after it.
        """
        sources = marks_of(_files(request), on_read)
        kind = COMPOSITE if request.pictured else GENERATED
        if request.finish is not None and {each.digital_source_type for each in sources} == {GENERATED}:
            kind = GENERATED  # a take that is made larger is what it was
        return cls(kind, request.model, program_of(version), sources)

    def xmp(self) -> bytes:
        """The XMP packet, in UTF-8. Of the sources' marks it holds the types alone."""
        kinds = sorted({source.digital_source_type for source in self.sources if source.digital_source_type})
        ingredients = "".join(
            f"    <rdf:li rdf:parseType='Resource'><Iptc4xmpExt:DigitalSourceType>{escape(kind)}"
            "</Iptc4xmpExt:DigitalSourceType></rdf:li>\n"
            for kind in kinds
        )
        if ingredients:
            ingredients = f"   <xmpMM:Ingredients><rdf:Bag>\n{ingredients}   </rdf:Bag></xmpMM:Ingredients>\n"
        packet = (
            "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
            "<x:xmpmeta xmlns:x='adobe:ns:meta/'>\n"
            " <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n"
            "  <rdf:Description rdf:about=''\n"
            "    xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'\n"
            "    xmlns:xmp='http://ns.adobe.com/xap/1.0/'\n"
            "    xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'\n"
            f"    xmp:CreatorTool={quoteattr(self.program)}\n"
            f"    Iptc4xmpExt:DigitalSourceType={quoteattr(self.digital_source_type)}\n"
            f"    Iptc4xmpExt:AISystemUsed={quoteattr(self.model)}\n"
            f"    Iptc4xmpExt:AISystemVersionUsed={quoteattr(self.program)}>\n"
            f"{ingredients}"
            "  </rdf:Description>\n"
            " </rdf:RDF>\n"
            "</x:xmpmeta>\n"
            "<?xpacket end='r'?>"
        )
        return packet.encode()

    def tags(self) -> dict[str, str]:
        """The same as tags of a movie, for programs that read those alone."""
        return {
            "DIGITAL_SOURCE_TYPE": self.digital_source_type,
            "AI_SYSTEM_USED": self.model,
            "ENCODED_BY": self.program,
        }


def program_of(version: str) -> str:
    """The program of that version, as marks name it."""
    return f"{PROGRAM} {version}"


def png_chunk(xmp: bytes) -> bytes:
    """The chunk of a PNG file that holds an XMP packet, uncompressed so that a search finds it."""
    content = b"XML:com.adobe.xmp\0" + b"\0\0" + b"\0" + b"\0" + xmp
    return struct.pack(">I", len(content)) + b"iTXt" + content + struct.pack(">I", zlib.crc32(b"iTXt" + content))


def marked_png(png: bytes | memoryview, chunk: bytes) -> bytes:
    """A PNG file with `chunk` (see png_chunk) after its first one."""
    return b"".join((png[:_PNG_HEAD], chunk, png[_PNG_HEAD:]))


def mp4_box(xmp: bytes) -> bytes:
    """The box that holds an XMP packet, to be appended to an MP4 file."""
    content = b"uuid" + _XMP_BOX + xmp
    return struct.pack(">I", 4 + len(content)) + content


def marks_of(files: Iterable[Path], on_read: Callable[[str], None] = lambda _place: None) -> list[SourceMark]:
    """The marks of those of the files that have any and can be read."""
    found = []
    for file in dict.fromkeys(files):
        on_read(str(file))
        found.append(mark_of(file))
        on_read("")
    return [mark for mark in found if mark is not None]


def mark_of(file: Path) -> SourceMark | None:
    """What a file says of itself; None if that is nothing, or it can't be read."""
    try:
        if not file.is_file():  # a pipe would be waited for
            return None
        ends = _ends(file)
    except (OSError, ValueError):  # who reads its pictures says what is wrong with it
        return None
    kinds = [found.group(1).decode("ascii") for end in ends if (found := _SOURCE_TYPE.search(end)) is not None]
    c2pa = any(_C2PA.search(end) is not None for end in ends)
    return SourceMark(file.name, kinds[0] if kinds else "", c2pa) if kinds or c2pa else None


def mark_alone(mark: SourceMark) -> bytes:
    """The content of a file of which `mark_of` finds that mark: it goes where the file itself doesn't."""
    kind = f"DigitalSourceType={quoteattr(mark.digital_source_type)}" if mark.digital_source_type else ""
    return kind.encode("ascii") + b"\njumb c2pa\n" * mark.c2pa


def _ends(file: Path) -> Sequence[bytes]:
    with open(file, "rb") as stream:
        first = stream.read(SEARCHED_BYTES)
        size = stream.seek(0, 2)
        if size <= len(first):
            return (first,)
        stream.seek(max(len(first), size - SEARCHED_BYTES))
        return first, stream.read(SEARCHED_BYTES)


def _files(request: TakeRequest) -> Iterable[Path]:
    """The first file of each source, since the pictures of a sequence come from one program, or what it shows.

    So many of one source that none goes unseen for another's.
    """
    for source in request.sources:
        if source.rendered:
            yield from map(Path, source.shown_files[:MAX_SHOWN_FILES])
        elif source.files:
            yield Path(source.folder, source.files[0])
