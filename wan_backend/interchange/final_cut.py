"""Final Cut Pro 7's XML, as Premiere Pro and Resolve read and write it, by OpenTimelineIO's adapter.

The adapter writes an item's metadata as it finds it, and keeps what it doesn't know as such: that is how speeds, colors
and muted clips go through it. A file from elsewhere is parsed here first, without a single entity, and looked through:
sequences may play each other, so a small file can mean a cut without end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import opentimelineio as otio

from ..protocol.cut import MAX_CLIPS, MAX_NESTED_DEPTH, MAX_SPEED
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from .plain_cut import Room
from .writing import SOLID_COLOR

ADAPTER, METADATA = "fcp_xml", "fcp_xml"
ROOM = Room(held=False, nested=True, muted=True, colors=True, markers=True)
MAX_DEPTH = 200
MAX_ELEMENTS = 4_000_000
MAX_PLAYED = 4 * MAX_CLIPS
"""Clips, each counted as often as its sequence plays."""
COLOR, TIME_REMAP = "Color", "timeremap"
LEVELS = ("red", "green", "blue")


def prepare(timeline: Any) -> None:
    """Say in the adapter's words what it has no others for."""
    for track in _tracks(timeline.tracks):
        track.metadata[METADATA] = {"enabled": "TRUE", "locked": "FALSE"}  # some programs fail without them
    for item in _items(timeline.tracks):
        own: dict[str, Any] = {} if item.enabled else {"enabled": "FALSE"}
        warp = next((each for each in item.effects if isinstance(each, otio.schema.LinearTimeWarp)), None)
        if warp is not None:
            own["filter"] = {"effect": _remap(warp.time_scalar)}
            _retime(item, warp.time_scalar, to_file=True)
            item.effects.clear()
        if own:
            item.metadata[METADATA] = own
        if isinstance(item, otio.schema.Clip) and isinstance(item.media_reference, otio.schema.GeneratorReference):
            item.media_reference = _color(item.media_reference)
    for marker in timeline.tracks.markers:
        if marker.comment:
            marker.metadata[METADATA] = {"comment": marker.comment}


def text_of(timeline: Any) -> str:
    """The timeline as it stands in a file."""
    return str(otio.adapters.write_to_string(timeline, ADAPTER))


def read(text: bytes, lost: list[Sentence]) -> Any:
    """The timeline in a file; of several, the longest that plays in no other. Raises Refusal, and as the adapter."""
    root = _parsed(text)
    if root.tag != "xmeml":
        raise _refused(Sentence("is not Final Cut Pro 7's XML: export it so from the program that it comes from"))
    wholes = _wholes(root)
    _check_played(root, wholes)
    _spell_out(root, wholes)
    found = otio.adapters.read_from_string(ElementTree.tostring(root, encoding="unicode"), ADAPTER)
    if isinstance(found, otio.schema.SerializableCollection):
        count = len(found)
        found = max(found, key=lambda each: sum(len(track) for track in each.tracks))
        lost.append(
            Sentence("The file holds {count} timelines, of which {name} was read.", count=count, name=found.name)
        )
    for track in _tracks(found.tracks):
        track.enabled = _is_enabled(track)
    for item in _items(found.tracks):
        _understand(item)
    for marker in found.tracks.markers:
        marker.comment = _text(_own(marker).get("comment"))
    return found


def _tracks(stack: Any) -> Iterator[Any]:
    """All tracks, those of nested stacks too."""
    for track in stack:
        yield track
        for item in track:
            if isinstance(item, otio.schema.Stack):
                yield from _tracks(item)


def _items(stack: Any) -> Iterator[Any]:
    """All clips and nested stacks."""
    for track in _tracks(stack):
        yield from (item for item in track if isinstance(item, otio.schema.Clip | otio.schema.Stack))


def _retime(item: Any, speed: float, to_file: bool) -> None:
    """Count where an item begins in its media in frames as it plays them, as the file does, or in the media's own.

    Backwards, the file counts from the media's end, and OpenTimelineIO has the lowest frame that plays.
    """
    span, reference = item.source_range, getattr(item, "media_reference", None)
    available = reference.available_range if reference is not None else None
    zero = available.start_time.value if available is not None else 0.0
    start, rate = span.start_time.value - zero, span.start_time.rate
    used = span.duration.rescaled_to(rate).value * abs(speed)
    start = start if to_file else start * abs(speed)
    if speed < 0 and available is not None:
        start = available.duration.rescaled_to(rate).value - start - used
    start = start / abs(speed) if to_file else start
    item.source_range = otio.opentime.TimeRange(otio.opentime.RationalTime(zero + round(start), rate), span.duration)


def _remap(speed: float) -> dict[str, Any]:
    """The filter that gives a clip its speed."""
    values = {
        "variablespeed": 0,
        "speed": f"{100 * abs(speed):.6g}",
        "reverse": "TRUE" if speed < 0 else "FALSE",
        "frameblending": "FALSE",
    }
    return {
        "name": "Time Remap",
        "effectid": TIME_REMAP,
        "effectcategory": "motion",
        "effecttype": "motion",
        "mediatype": "video",
        "parameter": [{"parameterid": key, "name": key, "value": str(value)} for key, value in values.items()],
    }


def _color(reference: Any) -> Any:
    """A generator of a color, as the adapter writes it."""
    levels = [round(255 * level) for level in reference.parameters["color"]]
    value = {"alpha": 255, **dict(zip(LEVELS, levels, strict=True))}
    effect = {
        "effecttype": "generator",
        "mediatype": "video",
        "effectcategory": "Matte",
        "parameter": {"parameterid": "fillcolor", "name": "Color", "value": value},
    }
    made = otio.schema.GeneratorReference(COLOR, COLOR, reference.available_range, {})
    made.metadata[METADATA] = effect
    return made


def _understand(item: Any) -> None:
    """Give an item what the adapter kept as words that it doesn't know."""
    item.enabled = _is_enabled(item)
    reference = getattr(item, "media_reference", None)
    if isinstance(reference, otio.schema.GeneratorReference) and reference.generator_kind == COLOR:
        levels = _parameters(_own(reference)).get("fillcolor")
        numbers = [_number(levels.get(each)) for each in LEVELS] if isinstance(levels, Mapping) else []
        if len(numbers) == len(LEVELS) and all(0 <= each <= 255 for each in numbers):
            reference.generator_kind = SOLID_COLOR
            reference.parameters["color"] = [each / 255 for each in numbers]
    for effect in list(item.effects):
        values = _parameters(_own(effect)) if _own(effect).get("effectid") == TIME_REMAP else {}
        speed = _number(values.get("speed")) / 100
        if values.get("variablespeed") in ("0", "FALSE", None) and 1 / MAX_SPEED <= speed <= MAX_SPEED:
            speed = -speed if str(values.get("reverse")).upper() == "TRUE" else speed
            item.effects.remove(effect)
            item.effects.append(otio.schema.LinearTimeWarp(name="speed", time_scalar=speed))
            _retime(item, speed, to_file=False)


def _is_enabled(owner: Any) -> bool:
    return str(_own(owner).get("enabled", "TRUE")).upper() != "FALSE"


def _own(owner: Any) -> Mapping[str, Any]:
    found = owner.metadata.get(METADATA)
    return found if isinstance(found, Mapping) else {}


def _parameters(effect: Mapping[str, Any]) -> dict[str, Any]:
    found = effect.get("parameter")
    each = [found] if isinstance(found, Mapping) else found if isinstance(found, Sequence) else []
    return {str(one.get("parameterid")): one.get("value") for one in each if isinstance(one, Mapping)}


def _number(value: Any) -> float:
    """A number of the file; -1 where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return -1.0
    return number if math.isfinite(number) else -1.0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parsed(text: bytes) -> ElementTree.Element:
    """The file's elements. Whatever declares an entity is refused: one can stand for gigabytes, or for another file."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = count = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise _refused(Sentence("has more in it, or deeper, than any cut"))
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def declared(*_words: object) -> None:
        raise _refused(Sentence("declares entities, as no cut does"))

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = declared
    try:
        parser.Parse(text, True)
        return builder.close()
    except (expat.ExpatError, AssertionError) as error:
        raise _refused(Sentence("is no whole XML ({error})", error=str(error)[:200])) from None


def _wholes(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Of each sequence's identifier, the element that has its tracks; others only name it."""
    wholes: dict[str, ElementTree.Element] = {}
    for sequence in root.iter("sequence"):
        name = sequence.get("id")
        if name and (name not in wholes or wholes[name].find("media") is None):
            wholes[name] = sequence
    return wholes


def _check_played(root: ElementTree.Element, wholes: Mapping[str, ElementTree.Element]) -> None:
    """Refuse sequences that play themselves, or one another without end."""
    counted: dict[int, int] = {}

    def played(sequence: ElementTree.Element, depth: int) -> int:
        whole = wholes.get(sequence.get("id", ""), sequence)
        if depth > MAX_NESTED_DEPTH:
            raise _refused(Sentence("has sequences that play each other without end"))
        if id(whole) not in counted:
            clips = list(_clips_of(whole))
            inner = [each for clip in clips for each in clip.findall("sequence")]
            counted[id(whole)] = len(clips) + sum(played(each, depth + 1) for each in inner)
        if counted[id(whole)] > MAX_PLAYED:
            raise _refused(Sentence("has sequences that play each other without end"))
        return counted[id(whole)]

    for sequence in list(root.iter("sequence")):
        played(sequence, 0)


def _spell_out(root: ElementTree.Element, wholes: Mapping[str, ElementTree.Element]) -> None:
    """Give each clip that plays a sequence its tracks, one step higher than they stand, where the adapter looks."""
    inner = list(root.iterfind(".//clipitem/sequence"))
    parts: list[list[ElementTree.Element]] = []
    for sequence in inner:
        whole = wholes.get(sequence.get("id", ""), sequence)
        parts.append([each for each in whole if each.tag != "media"])
        parts[-1] += [part for media in whole.findall("media") for part in media]
    played = {each.get("id", "") for each in inner}
    for sequence, each in zip(inner, parts, strict=True):
        sequence.clear()
        sequence.extend(each)
    for holder in root.iter("children"):
        for sequence in [each for each in holder if each.tag == "sequence" and each.get("id") in played]:
            holder.remove(sequence)


def _clips_of(sequence: ElementTree.Element) -> Iterable[ElementTree.Element]:
    return sequence.iterfind("media/*/track/clipitem")


def _refused(what: Sentence) -> Refusal:
    return Refusal.of(ProblemKind.BAD_SOURCE, Sentence("The file {what}.", what=what))
