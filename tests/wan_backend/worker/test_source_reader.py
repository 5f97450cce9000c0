"""Sources read in a process of their own: the same frames; and whatever ends that process is said of its file."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.wan_backend.worker.footage import HEIGHT, WIDTH, picture, source
from wan_backend.pipelines.stopping import Stopped, never
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Role, Source
from wan_backend.worker.source_process import ReadRequest
from wan_backend.worker.source_reader import FRAME_SECONDS, SourceReader

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")

CHILD = """
import os, sys, time
from wan_backend.frames import source_frames
from wan_backend.worker import source_process
load = source_frames.still_pictures.load
def bad(file, *rest):
    if file.name.startswith("ends"):
        os.kill(os.getpid(), int(file.stem.split("-")[1]))
    if file.name.startswith("hangs"):
        time.sleep(600)
    if file.name.startswith("eats"):
        bytearray(6 << 30)
    if file.name.startswith("says"):
        os.write(sink, b"what?")
    print("decoders print, too")
    return load(file, *rest)
source_frames.still_pictures.load = bad
guard = source_process.process_setup.guard_standard_streams
def guarded():
    global sink
    source, sink = guard()
    return source, sink
source_process.process_setup.guard_standard_streams = guarded
sys.exit(source_process.main())
"""
"""A reader for which a picture's name says what comes of it."""


@pytest.fixture
def reader():
    reader = SourceReader([sys.executable, "-c", CHILD])
    yield reader
    reader.close()


def named(folder: Path, *names: str) -> Source:
    """Pictures of those names, the first of which shows 0."""
    made = source(folder, Role.FOOTAGE, range(len(names)))
    for old, new in zip(made.files, names, strict=True):
        Path(made.folder, old).rename(Path(made.folder, new))
    return Source(Role.FOOTAGE, made.folder, list(names), frames=len(names))


def asked(of: Source, *frames: int) -> ReadRequest:
    return ReadRequest(of, list(frames) or list(range(of.frames)), WIDTH, HEIGHT, WIDTH, HEIGHT)


def test_the_frames_are_the_same_and_the_process_stays(tmp_path):
    reader = SourceReader()
    footage = source(tmp_path, Role.FOOTAGE, range(8))
    first = list(reader.read(asked(footage, 0, 0, 3, 7), never))
    (process,) = reader._idle
    assert process is not None
    again = list(reader.read(asked(footage, 5), never))
    assert reader._idle == [process] and process.poll() is None
    for frame, number in zip([*first, *again], [0, 0, 3, 7, 5], strict=True):
        assert np.array_equal(frame, picture(number))
    reader.close()
    assert process.wait(30) != 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("ends-11.png", "what decodes it crashed"),
        ("ends-6.png", "what decodes it crashed"),
        ("ends-9.png", "most likely because the memory (RAM) ran out"),
        ("says.png", "what decodes it crashed"),
        pytest.param(
            "eats.png", "too little memory", marks=pytest.mark.skipif(sys.platform != "linux", reason="has no limit")
        ),
    ],
)
def test_what_ends_the_process_is_said_of_its_file_and_the_next_one_is_read(tmp_path, reader, bad, words):
    footage = named(tmp_path, "0.png", bad, "2.png")
    frames = reader.read(asked(footage), never)
    assert np.array_equal(next(frames), picture(0))
    with pytest.raises(Refusal) as caught:
        list(frames)
    problem = caught.value.problem
    assert problem.kind == "bad_source" and problem.sentence.endswith("choose another strip.")
    assert f"The picture {Path(footage.folder) / bad} can't be used" in problem.sentence and words in problem.sentence
    assert np.array_equal(next(reader.read(asked(footage, 2), never)), picture(2))


def test_one_that_hangs_can_be_stopped_and_does_not_hang_for_ever(tmp_path, reader):
    footage = named(tmp_path, "hangs.png", "1.png")
    reader._frame_seconds = 2.0
    with pytest.raises(Refusal, match=r"hangs\.png can't be used: one frame took over ten minutes"):
        list(reader.read(asked(footage), never))
    reader._frame_seconds = FRAME_SECONDS  # a process may take longer than 2 s to start
    until = time.monotonic() + 1.0
    with pytest.raises(Stopped):
        list(reader.read(asked(footage), lambda: time.monotonic() > until))
    assert np.array_equal(next(reader.read(asked(footage, 1), never)), picture(1))


def test_a_source_that_is_left_half_way_disturbs_no_other(tmp_path, reader):
    footage = named(tmp_path, *(f"{number}.png" for number in range(30)))
    half = reader.read(asked(footage), never)
    assert np.array_equal(next(half), picture(0))
    other = list(reader.read(asked(footage, 20, 21), never))
    assert [np.array_equal(frame, picture(number)) for frame, number in zip(other, (20, 21), strict=True)] == [True] * 2
    half.close()
    assert len(list(reader.read(asked(footage), never))) == 30
    reader.close()
    until = time.monotonic() + 30
    while any(thread.name.startswith("source ") for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("source ")]


def test_where_no_process_can_be_started_it_is_read_here(tmp_path):
    footage = source(tmp_path, Role.FOOTAGE, range(2))
    frames = list(SourceReader([str(tmp_path / "nothing")]).read(asked(footage), never))
    assert np.array_equal(frames[1], picture(1))
