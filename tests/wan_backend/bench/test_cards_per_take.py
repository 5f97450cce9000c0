"""`bench --cards`: what it refuses, and its table; that both ways make the same pictures is measured by itself."""

from __future__ import annotations

import json

import pytest

from wan_backend.bench import command, two_cards

SMALL = ["--size", "64x48", "--frames", "5", "--steps", "2", "--repeat", "1", "--device", "cpu"]


def test_without_guidance_there_is_nothing_to_compare(capsys, t2v_folder):
    assert command.run(["--cards", "--folder", str(t2v_folder), *SMALL, "--guidance", "1"]) == command.FAILED
    assert two_cards.NO_GUIDANCE in capsys.readouterr().err


@pytest.mark.long
def test_both_ways_are_timed_and_make_the_same_pictures(capsys, t2v_folder, tmp_path):
    file = tmp_path / "figures.json"
    assert command.run(["--cards", "--folder", str(t2v_folder), *SMALL, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["largest_difference_of_frames"] == 0
    assert len(found["step_seconds"]) == len(found["take_seconds"]) == 2
    assert two_cards.table(found) in capsys.readouterr().out


def test_the_table_says_how_many_times_faster_two_are():
    work = {"width": 832, "height": 480, "frames": 81, "steps": 3, "guidance_scale": 5.0}
    found = {"model": "1.3B", "device": "a card", "torch": "2", "work": work, "largest_difference_of_frames": 0}
    lines = two_cards.table({**found, "step_seconds": [2.0, 1.0], "take_seconds": [6.0, 4.0]})
    assert "| a step | 2.000 | 1.000 | 2.00 |" in lines and "| the take | 6.000 | 4.000 | 1.50 |" in lines
