"""What the terminal says of a finished take is what its take.json holds."""

from __future__ import annotations

import json

import pytest

from wan_backend.command_line import take_words

SETTINGS = {
    "take": {"frames": 81, "width": 832, "height": 480},
    "plan": {"steps": 30, "forwards": 45, "all_forwards": 60},
    "seconds": {"queue": 9.0, "load": 4.04, "encode": 0.5, "denoise": 20.0, "decode": 0.8},
    "notes": ["The take is exact.", "It was quick."],
    "backend": {"device": "cuda (NVIDIA H200)", "kernels": "attention by SDPA, fused", "peak_bytes": 18_000_000_000},
}


def said(tmp_path, capsys, content: str, *notes: str) -> list[str]:
    (tmp_path / "take.json").write_text(content)
    take_words.say(tmp_path, notes)
    return capsys.readouterr().err.splitlines()


def test_work_seconds_kernels_memory_and_new_notes_are_said(tmp_path, capsys):
    assert said(tmp_path, capsys, json.dumps(SETTINGS), "It was quick.") == [
        "81 frames of 832x480 in 30 steps, 45 passes of the transformer, 15 skipped.",
        "Loading 4.0 s, prompts and sources 0.5 s, steps 20.0 s, pictures 0.8 s.",
        "On cuda (NVIDIA H200): attention by SDPA, fused; at most 18.0 GB of its memory.",
        "The take is exact.",
    ]


def test_what_is_not_known_is_left_out(tmp_path, capsys):
    settings = {**SETTINGS, "plan": {"steps": 0}, "seconds": {"decode": 2.0}, "backend": {"device": "cpu"}, "notes": []}
    assert said(tmp_path, capsys, json.dumps(settings)) == ["81 frames of 832x480.", "Pictures 2.0 s.", "On cpu."]
    settings["plan"] = {"steps": 4, "forwards": 8, "all_forwards": 8}
    assert said(tmp_path, capsys, json.dumps(settings))[0].endswith("in 4 steps, 8 passes of the transformer.")


@pytest.mark.parametrize("content", ["", "[]", '{"take": 3}', '{"take": {"frames": 1}}'])
def test_settings_that_say_nothing_cost_nothing(tmp_path, capsys, content):
    assert said(tmp_path, capsys, content) == []
