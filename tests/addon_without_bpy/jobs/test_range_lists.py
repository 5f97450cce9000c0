"""The lists of generated stretches: right times, one line each, whatever the names are."""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace

import opentimelineio
import pytest


@pytest.fixture
def lists(addon):
    return addon("jobs.range_lists")


def stretch(start, end, strip="A", model="wan2.1-vace-1.3b", composite=False, draft=False):
    return SimpleNamespace(start=start, end_exclusive=end, strip=strip, model=model, composite=composite, draft=draft)


@pytest.mark.parametrize(("frames", "rate", "text"), [
    (0, Fraction(24), "00:00:00:00"), (23, Fraction(24), "00:00:00:23"), (24, Fraction(24), "00:00:01:00"),
    (30 * 3600, Fraction(30000, 1001), "01:00:00:00"), (-5, Fraction(24), "00:00:00:00"),
    (3, Fraction(1, 2), "00:00:03:00"),
])  # fmt: skip
def test_timecode_counts_whole_frames(lists, frames, rate, text):
    assert lists.timecode(frames, rate) == text


def test_a_marker_begins_where_the_stretch_does_and_has_its_length(lists):
    text = lists.edl("Film", [stretch(34, 58, composite=True)], 10, Fraction(24))
    assert text.splitlines()[:2] == ["TITLE: Film", "FCM: NON-DROP FRAME"]
    assert "001  AX       V     C        00:00:01:00 00:00:01:01 00:00:01:00 00:00:01:01" in text
    assert "|M:compositeWithTrainedAlgorithmicMedia, wan2.1-vace-1.3b |D:24" in text


def test_names_of_any_kind_stay_on_their_line(lists):
    name = "a|b\n002  AX  V C\r\x1e \u2028é"
    text = lists.edl("T\nX", [stretch(1, 2, strip=name, model="m|D:99\n")], 1, Fraction(24))
    lines = text.split("\n")
    assert len(lines) == 7 and len(re.findall(r"^\d+  AX", text, re.MULTILINE)) == 1
    assert text.count("|D:") == 1
    assert "é" in lists.readable("T", [stretch(1, 2, strip=name)], 1, Fraction(24))


def test_the_sum_counts_each_frame_once(lists):
    text = lists.readable("Film", [stretch(1, 25), stretch(13, 37), stretch(100, 124, draft=True)], 1, Fraction(24))
    assert "In all 00:00:02:12, overlaps counted once." in text
    assert "draft" in text and "trainedAlgorithmicMedia" in text
    assert "There is none." in lists.readable("Film", [], 1, Fraction(24))


def test_opentimelineio_reads_the_markers(lists):
    ranges = [stretch(34, 58, 'a "b"', composite=True), stretch(60, 61)]
    read = opentimelineio.core.deserialize_json_from_string(lists.otio("Film", ranges, 10, Fraction(24)))
    spans = [
        (each.name, each.marked_range.start_time.value, each.marked_range.duration.value)
        for each in read.tracks.markers
    ]
    assert spans == [('a "b"', 24, 24), ("A", 50, 1)]
    assert read.tracks.markers[0].comment == "compositeWithTrainedAlgorithmicMedia, wan2.1-vace-1.3b"
    assert read.duration().value == 51
    empty = opentimelineio.core.deserialize_json_from_string(lists.otio("Film", [], 10, Fraction(24)))
    assert not empty.tracks.markers
