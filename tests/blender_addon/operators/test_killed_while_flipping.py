"""kill -9 of Blender while a person flips through takes and saves: film and takes are whole, at most a flip is lost."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest
from test_takes_of_strips import A, B, C, shot

__all__ = ["shot"]

FLIPPING = Path(__file__).with_name("flipping_process.py")
KILLS = int(os.environ.get("FAULTS_FLIP_KILLS", "20"))
LONGEST_LIFE_SECONDS = 0.8


def sums(folder: Path) -> dict[str, str]:
    """A checksum of each file of the takes."""
    files = (file for file in sorted(folder.rglob("*.png")))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def flip_and_be_killed(extension: str, blend: Path, chance: random.Random) -> list[list[str]]:
    """Let a Blender flip for a moment, and kill it; what it said."""
    command = [sys.executable, str(FLIPPING), extension, str(blend), str(chance.randrange(1 << 30))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as editor:
        assert editor.stderr is not None
        said = []
        for line in editor.stderr:
            said.append(line.split())
            if line.startswith("flipped"):
                break
        else:
            pytest.fail(f"it ended by itself: {said[-5:]}")
        time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
        editor.send_signal(signal.SIGKILL)
        said += [line.split() for line in editor.stderr if line.endswith("\n")]
    return [words for words in said if words and words[0] in ("flipped", "saving", "saved")]


def may_be_shown(said: list[list[str]], before: str) -> set[str]:
    """The takes that the film may show: the one that was saved last, or the one that was being saved."""
    saved = next((job for word, job in reversed(said) if word == "saved"), before)
    last = next((words for words in reversed(said) if words[0] != "flipped"), None)
    return {saved, last[1]} if last is not None and last[0] == "saving" else {saved}


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=pytest.mark.long)])
def test_a_kill_loses_at_most_the_flip_that_was_not_saved(shot, extension, tmp_path, kills) -> None:
    blend, name = tmp_path / "film.blend", shot.name
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    files, place = sums(tmp_path), (shot.compat.start(shot.strip), shot.compat.end_exclusive(shot.strip))
    chance, before, saves = random.Random(17), A, 0
    for _ in range(kills):
        said = flip_and_be_killed(extension, blend, chance)
        saves += sum(words[0] == "saved" for words in said)
        if not blend.exists():  # Blender makes it its backup, a moment before the new one gets its name
            shutil.copy(blend.with_suffix(".blend1"), blend)
        bpy.ops.wm.open_mainfile(filepath=str(blend))
        strip = shot.compat.strip_named(bpy.context.scene, name)
        takes = shot.takes.takes_of(strip)
        assert [take.job_id for take in takes] == [C, B, A]
        assert strip[shot.identity.JOB] in may_be_shown(said, before), said[-3:]
        before = strip[shot.identity.JOB]
        shown = takes[shot.takes.shown_index(strip)]
        assert Path(bpy.path.abspath(strip.directory)) == Path(shown.folder)
        assert f'"seed": {int(before[0], 16)}' in strip[shot.identity.REQUEST]
        assert (shot.compat.start(strip), shot.compat.end_exclusive(strip)) == place
        assert sums(tmp_path) == files
    assert saves, "the film was saved between the kills"
