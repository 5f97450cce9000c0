"""Of long footage the frames that are read cross the line, at the model's size: what is read of them is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.server.served import request, wait_until
from wan_backend.frames import clip_frames, source_frames
from wan_backend.frames.marks import GENERATED, Marks, mp4_box
from wan_backend.frames.schedule import Schedule
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.conversion import from_json
from wan_backend.protocol.messages import (
    FrameRate,
    Framing,
    KeptPicture,
    MediaFormat,
    Pictures,
    Plan,
    Role,
    Sampler,
    Source,
    TakeRequest,
    Task,
    Training,
)
from wan_backend.relay import extracting
from wan_backend.relay.contents import Hashes, cargo_of
from wan_backend.relay.places import Places

PLAN = Plan("embedded", 144, 96, 17, FrameRate(16), 24, 8, 5.0, 3.0, Sampler.UNIPC, kept_before=5, kept_after=4)


def film(file: Path, frames: int = 40, width: int = 640, height: int = 360) -> Path:
    """Noise, which no codec makes small."""
    noise = np.random.default_rng(7)
    with Movie(file, MediaFormat.FFV1, FrameRate(24).exact(), width, height) as movie:
        for index in range(frames):
            movie.write(noise.integers(0, 255, (height, width, 3), np.uint8), [index])
    return file


def asked(folder: Path, *roles: Role, **changes) -> TakeRequest:
    sources = [
        {"role": role, "folder": str(folder), "files": ["shot.mkv"], "is_movie": True, "first_frame": 3, "frames": 20}
        for role in roles
    ]
    return from_json(TakeRequest, request(folder / "media", sources=sources, length_frames=24, **changes))


@pytest.mark.parametrize("framing", [None, Framing(640, 360, 40, -30, 500, 420, crop_left=12, mirror_x=True)])
def test_what_is_read_of_the_frames_is_what_is_read_of_the_film(tmp_path, framing):
    film(tmp_path / "shot.mkv")
    request = asked(tmp_path, Role.BEFORE, Role.AFTER, task=Task.FILL_GAP, width=640, height=400)
    request = replace(request, sources=[replace(source, framing=framing) for source in request.sources])
    places = Places(tmp_path, [])
    sent = extracting.with_extracted(request, PLAN, places, tmp_path / "out", lambda: False)
    for before, after in zip(request.sources, sent.sources, strict=True):
        assert not after.is_movie and len(after.files) == 20 == after.frames
        frames = sorted(Schedule.of(PLAN, request).frames_of(before).values())
        assert len(set(after.files)) == len(set(frames)) < 20  # not more than is read
        whole = list(source_frames.read(before, frames, 144, 96, (640, 400)))
        again = list(source_frames.read(after, frames, 144, 96, (640, 400)))
        assert np.array_equal(np.stack(whole), np.stack(again))
    written = {name for source in sent.sources for name in Path(source.folder).iterdir()}
    assert all(cv2.imread(str(file)).shape == (96, 144, 3) for file in written)


def test_a_kept_picture_is_sent_with_its_frame(tmp_path):
    """Here the frame of a film, of which only that one crosses the line."""
    film(tmp_path / "shot.mkv")
    request = asked(tmp_path, Role.KEPT, width=640, height=360)
    kept = replace(request.sources[0], first_frame=7, frames=1, at_frame=10)
    request = replace(request, sources=[kept])
    plan = replace(PLAN, kept_before=0, kept_after=0, kept_pictures=[KeptPicture(10, 7)])
    sent = extracting.with_extracted(request, plan, Places(tmp_path, []), tmp_path / "out", lambda: False)
    (source,) = sent.sources
    assert (source.role, source.at_frame, len(source.files)) == (Role.KEPT, 10, 1) and not source.is_movie
    (whole,), (again,) = (list(source_frames.read(each, [0], 144, 96, (640, 360))) for each in (kept, source))
    assert np.array_equal(whole, again)


def test_a_reference_is_sent_as_it_is(tmp_path):
    """It is read in a shape of its own, whatever the scene's frame is: a photo is larger than most frames."""
    film(tmp_path / "shot.mkv")
    photo = np.random.default_rng(1).integers(0, 255, (1500, 1000, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "photo.png"), photo, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    shown = Source(Role.REFERENCE, str(tmp_path), ["photo.png"], pictures=Pictures(1000, 1500), at_frame=1)
    edited = asked(tmp_path, Role.FOOTAGE, task=Task.EDIT, width=640, height=360)
    edited = replace(edited, sources=[*edited.sources, shown])
    plan = replace(PLAN, kept_before=0, kept_after=0, seen_sources=2)
    sent = extracting.with_extracted(edited, plan, Places(tmp_path, []), tmp_path / "out", lambda: False)
    assert not sent.sources[0].is_movie and sent.sources[1] == shown
    alone = replace(edited, sources=[shown])
    assert not extracting.is_worth_asking(alone, Places(tmp_path, [])), "no plan could make it less"


def test_of_a_film_that_is_trained_on_the_frames_of_its_clips_are_sent(tmp_path):
    film(tmp_path / "shot.mkv")
    request = replace(asked(tmp_path, Role.CLIP, Role.CLIP, width=640, height=360), training=Training("Harbor"))
    plan = replace(PLAN, model_frames=9)
    sent = extracting.with_extracted(request, plan, Places(tmp_path, []), tmp_path / "out", lambda: False)
    step = request.frame_rate.exact() / plan.model_frame_rate.exact()
    clips = clip_frames.cut(request.sources, step, 9, 5)
    assert len(clips) == 2 and all(not source.is_movie for source in sent.sources)
    for clip in clips:
        before, after = request.sources[clip.source], sent.sources[clip.source]
        whole, again = (
            list(source_frames.read(each, list(clip.frames), 144, 96, (640, 360))) for each in (before, after)
        )
        assert np.array_equal(np.stack(whole), np.stack(again))


def test_files_that_are_less_are_sent_as_they_are(tmp_path):
    film(tmp_path / "shot.mkv", 2, 64, 64)
    request = asked(tmp_path, Role.BEFORE, Role.AFTER, task=Task.FILL_GAP)
    assert not extracting.is_worth_asking(request, Places(tmp_path, []))
    assert extracting.with_extracted(request, PLAN, Places(tmp_path, []), tmp_path / "out", lambda: False) is request


def test_footage_that_cant_be_read_is_sent_whole_and_the_job_says_why(tmp_path):
    (tmp_path / "shot.mkv").write_bytes(bytes(20 << 20))
    request = asked(tmp_path, Role.BEFORE, Role.AFTER, task=Task.FILL_GAP)
    assert extracting.with_extracted(request, PLAN, Places(tmp_path, []), tmp_path / "out", lambda: False) is request


def test_a_request_for_a_film_sends_frames_and_stays_as_it_was_here(relay, media, tmp_path):
    near = relay()
    film(tmp_path / "shot.mkv")
    source = {"folder": str(tmp_path), "files": ["shot.mkv"], "is_movie": True, "frames": 24, "role": Role.FOOTAGE}
    wanted = request(media, task=Task.RESTYLE, sources=[source], length_frames=24)
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    job_id = near.submit(wanted)
    near.wait_for(job_id, "done")
    assert near.call("details", job_id=job_id)["request"]["sources"][0]["files"] == ["shot.mkv"]
    (settings,) = media.glob("*/take.json")
    assert json.loads(settings.read_bytes())["request"]["sources"][0]["is_movie"]
    contents = list((tmp_path / "far/sent/contents").iterdir())
    assert 1 < len(contents) <= 24 and sum(file.stat().st_size for file in contents) < 2 << 20
    wait_until(lambda: not list((tmp_path / "near/extracted").iterdir()))


def test_what_a_film_says_of_being_generated_goes_over_without_it(tmp_path):
    """Its frames alone are sent, and the pictures that were rendered of another: the take's marks are as made here."""
    film(tmp_path / "shot.mkv")
    with open(tmp_path / "shot.mkv", "ab") as stream:
        stream.write(mp4_box(Marks(GENERATED, "m", "p").xmp()) + b"jumb....c2pa")
    request = asked(tmp_path, Role.BEFORE, Role.AFTER, task=Task.FILL_GAP)
    places = Places(tmp_path, [])
    places.learn_root(str(tmp_path / "far"))
    sent = extracting.with_extracted(request, PLAN, places, tmp_path / "out", lambda: False)
    cargo = cargo_of(sent, places, Hashes(tmp_path), tmp_path / "marks", lambda: False, anew=False)
    for group in cargo.groups:
        folder = tmp_path / "far/sent/folders" / group.folder_id
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in group.files.items():
            (folder / name).write_bytes(file.path.read_bytes())
    assert Marks.of(cargo.request, "1").sources == Marks.of(request, "1").sources
    assert Marks.of(request, "1").sources[0].c2pa
