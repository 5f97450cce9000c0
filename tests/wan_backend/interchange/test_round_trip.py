"""A cut that is written as OpenTimelineIO and read again is the same cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wan_backend.interchange import reading, writing
from wan_backend.protocol import cut_file
from wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutDissolve,
    CutMarker,
    CutTrack,
    NestedCut,
    TrackKind,
    is_sane_cut,
)
from wan_backend.protocol.messages import FrameRate

RATES = st.sampled_from([FrameRate(24), FrameRate(25), FrameRate(30, 1.001), FrameRate(24, 1.001), FrameRate(60)])
WORDS = st.text(st.sampled_from("abcÄé ñ-_#%?&.'"), min_size=1, max_size=12).map(
    lambda text: " ".join(text.split()) or "a"
)
FOLDERS = WORDS.map(lambda word: f"/film/{word.strip('. ') or 'x'}")
NOTES = st.sampled_from(["", "a note"])


@st.composite
def medias(draw: Any) -> ClipMedia:
    """Media of each kind."""
    kind = draw(st.sampled_from([each for each in ClipMediaKind if each is not ClipMediaKind.NESTED]))
    name, frames = draw(WORDS), draw(st.integers(1, 200))
    if kind is ClipMediaKind.FILE:
        rate = draw(st.sampled_from([0.0, 25.0, 48.0]))
        return ClipMedia(kind, name, draw(FOLDERS), [draw(WORDS) + ".mp4"], frames, rate)
    if kind is ClipMediaKind.PICTURES:
        before, first = draw(WORDS), draw(st.integers(0, 2000))
        files = [f"{before}x{first + index:04d}.png" for index in range(frames)]
        if draw(st.booleans()):
            files = [*files, "other.png"]
        return ClipMedia(
            kind,
            name,
            draw(FOLDERS),
            files,
            len(files),
            job_id=draw(st.sampled_from(["", "0123456789abcdef" * 2])),
            mark=draw(st.sampled_from(["", "star", "reject"])),
            note=draw(NOTES),
        )
    if kind is ClipMediaKind.COLOR:
        return ClipMedia(kind, name, frames=frames, color=[0.25, 0.5, 1.0])
    request = json.dumps({"prompt": "a cat", "seed": 3, "sources": []}) if kind is ClipMediaKind.PLACEHOLDER else ""
    return ClipMedia(kind, name, frames=frames, request=request)


@st.composite
def tracks(draw: Any, nested: int = 0) -> CutTrack:
    """A track with gaps and dissolves, in which the first so many clips are nested ones."""
    clips, dissolves, at = [], [], 0
    for index in range(draw(st.integers(nested, 4))):
        gap = draw(st.integers(0, 3))
        length = draw(st.integers(1, 100))
        media = draw(st.lists(medias(), min_size=1, max_size=3))
        if index < nested:
            media = [ClipMedia(ClipMediaKind.NESTED, "Scene", frames=draw(st.sampled_from([0, 90])), nested=index)]
        name = "Scene" if index < nested else draw(WORDS)
        if index and not gap and draw(st.booleans()):
            before, after = min(5, clips[-1].length), min(3, length)
            dissolves.append(CutDissolve(index - 1, before, after, "Cross", draw(st.integers(0, 9))))
        speed = draw(st.sampled_from([1.0, 2.0, -1.0, 0.5, 0.0]))
        active, start = draw(st.integers(0, len(media) - 1)), draw(st.integers(0, 30))
        enabled, channel = draw(st.booleans()), draw(st.integers(0, 12))
        locked, volume, shot = (
            draw(st.booleans()),
            draw(st.sampled_from([1.0, 0.25])),
            draw(st.sampled_from(["", "SH 010"])),
        )
        clips.append(
            CutClip(
                name,
                at + gap,
                length,
                media,
                active,
                start,
                speed,
                enabled,
                channel,
                draw(st.sampled_from([0, 7])),
                locked,
                volume,
                shot,
            )
        )
        at += gap + length
    return CutTrack(draw(st.sampled_from(TrackKind)), draw(WORDS), clips, dissolves)


@st.composite
def cuts(draw: Any) -> Cut:
    """Any cut."""
    marks = [CutMarker(draw(WORDS), 3, draw(st.integers(0, 9)), draw(st.booleans()), draw(NOTES))]
    first = draw(st.sampled_from([None, 1, -20, 86400]))
    inner = NestedCut(draw(st.lists(tracks(), max_size=2)))
    outer = NestedCut([draw(tracks(nested=1))])
    nested = [inner, outer][: draw(st.integers(0, 2))]
    top = draw(st.lists(tracks(), max_size=3))
    if nested:
        holds = draw(tracks(nested=1))
        first_clip = holds.clips[0]
        last = replace(first_clip.media[0], nested=len(nested) - 1)
        top = [*top, replace(holds, clips=[replace(first_clip, media=[last]), *holds.clips[1:]])]
    return Cut(draw(WORDS), draw(RATES), top, marks, first, nested)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cuts())
def test_what_was_written_is_read(cut: Cut) -> None:
    assert is_sane_cut(cut)
    read = reading.read(writing.text_of(writing.timeline_of(cut)), "/elsewhere")
    assert read.cut == cut
    assert not read.lost


@settings(max_examples=50, deadline=None, derandomize=True)
@given(cuts())
def test_the_file_between_blender_and_the_backend_has_the_whole_cut(cut: Cut) -> None:
    assert cut_file.read("".join(cut_file.lines_of(cut)).splitlines()) == cut
