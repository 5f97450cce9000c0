"""Cuts in the formats of other programs: read again by the adapters, and what has no place there is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from tests.wan_backend.interchange.cut_files import export
from wan_backend.interchange.other_formats import FORMATS
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
)
from wan_backend.protocol.messages import FrameRate

pytestmark = pytest.mark.ci


@pytest.fixture
def film(tmp_path: Path) -> Cut:
    """A cut with all that one may have."""
    movie = ClipMedia(ClipMediaKind.FILE, "a", str(tmp_path), ["a.mp4"], 100)
    sound = ClipMedia(ClipMediaKind.FILE, "s", str(tmp_path), ["s.wav"], 100)
    pictures = CutTrack(
        TrackKind.VIDEO,
        "V1",
        [
            CutClip("One", 0, 10, [movie, replace(movie, job_id="a" * 32)]),
            CutClip("Two", 10, 20, [movie], media_start=5),
            CutClip("Fast", 40, 10, [movie], speed=2.0),
            CutClip("Waits", 50, 10, [ClipMedia(ClipMediaKind.PLACEHOLDER, "w", request="{}")]),
            CutClip("Red", 60, 5, [ClipMedia(ClipMediaKind.COLOR, "r", color=[1.0, 0.0, 0.0])]),
            CutClip("Nest", 70, 5, [ClipMedia(ClipMediaKind.NESTED, "n", nested=0)]),
            CutClip("Muted", 80, 5, [movie], enabled=False),
        ],
        [CutDissolve(0, 3, 3, "Cross")],
    )
    sounds = CutTrack(TrackKind.AUDIO, "A1", [CutClip("Sound", 0, 30, [sound])])
    inner = NestedCut([CutTrack(clips=[CutClip("Inside", 0, 5, [movie])])])
    return Cut("Film", FrameRate(24), [pictures, sounds], [CutMarker("Here", 4)], 1, [inner])


def read(file: Path) -> Any:
    """The timeline in a file, by the adapter that knows its ending."""
    found = otio.adapters.read_from_file(str(file), adapter_name=FORMATS[file.suffix].adapter)
    return found if isinstance(found, otio.schema.Timeline) else found[0]


@pytest.mark.parametrize(
    ("ending", "names", "lost"),
    [
        (".xml", ["One", "Two", "Fast", "Nest"], ["1 other takes", "1 speeds", "1 muted clips"]),
        (".aaf", ["One", "Two", "Fast", "Inside"], ["1 dissolves", "1 markers", "1 speeds", "1 muted clips"]),
        (".edl", ["One", "Two", "Fast"], ["1 tracks", "1 markers", "1 nested timelines", "1 muted clips"]),
    ],
)
def test_other_formats_have_the_cut_as_far_as_they_go(
    film: Cut, tmp_path: Path, ending: str, names: list[str], lost: list[str]
) -> None:
    (said,) = export(film, tmp_path / f"film{ending}").lost
    for part in [*lost, "2 clips without a movie or a sound"]:
        assert part in str(said)
    track = read(tmp_path / f"film{ending}").video_tracks()[0]
    items = [each for each in track if isinstance(each, otio.schema.Clip | otio.schema.Stack)]
    assert [each.name for each in items] == names
    assert [round(each.range_in_parent().start_time.value) for each in items[:3]] in ([0, 10, 40], [0, 7, 40])
    assert not list(tmp_path.glob("*partial*"))
