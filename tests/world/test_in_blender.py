"""What must hold of every entry, asked in Blender: what is sent is what Blender shows; strangers harm nothing.

The backend's Python, which makes the movies and reads what was sent, is WAN_VSE_BACKEND_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.blender_addon.pictures import psnr, render_range
from tests.world import footage, pictures
from tests.world.entry import parameters

ROOT = Path(__file__).resolve().parents[2]
BACKEND = os.environ.get("WAN_VSE_BACKEND_PYTHON", "")
WIDTH, HEIGHT = 160, 64
FRAMES = 6
DARK = 16
"""Something is brighter than that in each entry's first frames."""
SAME_DECIBELS = 27.0
"""Bars and soft pictures that differ by rounding and chroma alone are above; another frame is far below."""

pytestmark = pytest.mark.skipif(not BACKEND, reason="WAN_VSE_BACKEND_PYTHON names no backend")


def backend(*arguments: str | Path, said: str = "") -> str:
    done = subprocess.run(
        [BACKEND, "-m", "tests.world.made", *map(str, arguments)],
        cwd=ROOT, input=said, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def made(kind: str, entry, folder: Path) -> Path:
    if any(need.startswith("encoder:") for need in entry.needs):
        trial = "import av, sys; [av.Codec(name, 'w') for name in sys.argv[1:]]"
        names = [need.removeprefix("encoder:") for need in entry.needs]
        if subprocess.run([BACKEND, "-c", trial, *names], capture_output=True, check=False).returncode:
            pytest.skip(f"{entry.needs} are not here")
    folder = folder / "they have"
    folder.mkdir()
    return Path(backend(kind, entry.name, folder))


def check(scene, addon, file: Path, is_movie: bool, says: str, folder: Path) -> None:
    """What is sent of a strip of this file is what Blender shows; else it's rendered, or refused."""
    look = addon("timeline.footage")
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    compat = addon("timeline.compat")
    strips = compat.strips(scene.sequence_editor)
    try:
        add = strips.new_movie if is_movie else strips.new_image
        strip = add("theirs", str(file), 1, 1, fit_method="ORIGINAL")
    except RuntimeError as error:
        assert says not in ("straight", "rendered"), error
        return
    frames = min(FRAMES, compat.end_exclusive(strip) - compat.start(strip)) if is_movie else 1
    wanted = look.FootageRange(look.Role.FOOTAGE, 1, 1 + frames, ("theirs",), False)
    found = look.source_or_render(scene, wanted, str(folder / "job"))
    if isinstance(found, str):
        assert says not in ("straight", "rendered") and says in found, found
        return
    source, rendered = found
    assert says in ("", "rendered" if rendered else "straight"), f"it is {'rendered' if rendered else 'read straight'}"
    if rendered:
        shown = render_range(scene, range(1, 1 + frames), folder / "rendered")
        assert max(picture.max() for picture in shown) > DARK, "it is rendered, and Blender shows it black"
        return
    conversion = addon("backend.connection").__package__.split(".blender_addon")[0] + ".wan_backend.protocol.conversion"
    asked = {
        "source": __import__(conversion, fromlist=["to_json"]).to_json(source),
        "width": WIDTH,
        "height": HEIGHT,
    }
    refused = backend("read", folder / "sent.npy", said=json.dumps(asked))
    if refused:
        assert says != "straight" and file.name in refused, refused
        return
    sent = np.load(folder / "sent.npy")
    for number, shown in enumerate(render_range(scene, range(1, 1 + frames), folder / "shown")):
        alike = psnr(sent[number], shown)
        assert alike >= SAME_DECIBELS, f"frame {number} is another picture: {alike:.1f} dB"


@pytest.mark.parametrize("entry", parameters(footage.ENTRIES))
def test_footage(scene, addon, tmp_path, entry):
    check(scene, addon, made("footage", entry, tmp_path), True, entry.in_blender, tmp_path)


@pytest.mark.parametrize("entry", parameters(pictures.ENTRIES))
def test_pictures(scene, addon, tmp_path, entry):
    check(scene, addon, made("pictures", entry, tmp_path), False, entry.in_blender, tmp_path)
