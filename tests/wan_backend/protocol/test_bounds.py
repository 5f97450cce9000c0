"""What of a request or a take nobody here writes is seen before it is used."""

from __future__ import annotations

import dataclasses
import math

import pytest

from wan_backend.protocol import bounds
from wan_backend.protocol.messages import (
    FrameRate,
    Framing,
    MediaFormat,
    Origin,
    Role,
    Source,
    Take,
    TakeRequest,
    Words,
)
from wan_backend.protocol.takes import GuidanceInterval, LoraUse

SOURCE = Source(Role.FOOTAGE, "/shots", ["a.png", "b.png"], frames=2, framing=Framing(64, 36, 0.0, 0.0, 64.0, 36.0))
REQUEST = TakeRequest(
    *("fog", "embedded", 64, 36, 9, FrameRate(24, 1.001), 7, "/film/wan"),
    sources=[SOURCE],
    loras=[LoraUse("/loras/x.safetensors", 0.5)],
    origin=Origin("/film/a.blend", "a" * 32, "Scene", 3, -20),
)
TAKE = Take("/film/wan/x", "0001.png", MediaFormat.PNG, 9, 64, 36, FrameRate(24))


def test_what_is_written_here_is_sane() -> None:
    assert bounds.is_sane_request(REQUEST)
    assert bounds.is_sane_take(TAKE)
    assert bounds.is_sane_take(dataclasses.replace(TAKE, media_format=MediaFormat.FFV1, first_file="take.mkv"))


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "x" * 20_000},
        {"prompt": "half \ud800 a character"},
        {"model": "x\0y"},
        {"width": 0},
        {"height": 1 << 20},
        {"length_frames": -1},
        {"length_frames": 1 << 40},
        {"frame_rate": FrameRate(0)},
        {"frame_rate": FrameRate(24, 0.0)},
        {"frame_rate": FrameRate(24, math.nan)},
        {"seed": -1},
        {"media_folder": "/" + "x" * 5000},
        {"media_folder": "/a\0b"},
        {"strength": math.inf},
        {"guidance_scale": 1e30},
        {"guidance_interval": GuidanceInterval(0.0, 1e30)},
        {"steps": 1 << 62},
        {"origin": Origin(start=1 << 40)},
        {"origin": Origin(channel=-1)},
        {"origin": Origin(scene="x" * 3000)},
        {"loras": [LoraUse("/x", math.nan)]},
        {"loras": [LoraUse("/x\0", 1.0)]},
        {"loras": [LoraUse("/x")] * 100},
        {"words": [Words(0, 3, "x")] * 100},
        {"words": [Words(-1, 3, "x")]},
        {"words": [Words(4, 3, "x")]},
        {"words": [Words(0, 1 << 40, "x")]},
        {"words": [Words(0, 3, "x" * 20_000)]},
        {"sources": [SOURCE] * 100},
        *({"sources": [dataclasses.replace(SOURCE, files=[name])]} for name in ("../a", "/etc/x", "a\0", "", "..")),
        {"sources": [dataclasses.replace(SOURCE, files=[])]},
        {"sources": [dataclasses.replace(SOURCE, folder="shots")]},
        {"sources": [dataclasses.replace(SOURCE, folder="/shots/../etc")]},
        {"sources": [dataclasses.replace(SOURCE, frames=1 << 40)]},
        {"sources": [dataclasses.replace(SOURCE, first_frame=-5)]},
        {"sources": [dataclasses.replace(SOURCE, framing=Framing(64, 36, math.inf, 0.0, 64.0, 36.0))]},
    ],
    ids=lambda changed: repr(changed)[:50],
)
def test_what_nobody_here_writes_is_not(changed) -> None:
    assert not bounds.is_sane_request(dataclasses.replace(REQUEST, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"first_file": "../../x.mp4"},
        {"first_file": "0002.png"},
        {"media_format": MediaFormat.H264},
        {"frames": 0},
        {"frames": 10**9},
        {"width": -4},
        {"frame_rate": FrameRate(-1)},
    ],
    ids=repr,
)
def test_a_take_is_as_a_worker_writes_it(changed) -> None:
    assert not bounds.is_sane_take(dataclasses.replace(TAKE, **changed))


@pytest.mark.parametrize(
    "text", ["1e999", "NaN", "[-Infinity]", "[" * 100_000, "{", "", "1" * 5000, 7, None, " " * (1 << 21)]
)
def test_no_other_json_is_read(text) -> None:
    with pytest.raises(ValueError):
        bounds.parsed(text)
    assert bounds.parsed('{"a": [1, 2.5]}') == {"a": [1, 2.5]}
