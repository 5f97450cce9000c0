"""Draws what a LoRA is trained on and says what is asked of it afterwards. Runs in the backend's environment.

Eight movies of a look that the embedded model was never shown, and `asked.json`: their captions, and the prompts of the
takes by which it is measured, none of whose combinations of words was ever trained, and whose motions all can be read.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from tools.embedded_model import measures, prompts, scenes, unseen_look
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.messages import MediaFormat

SIDE, FRAMES, RATE = 128, 9, 16
TAKES = 200
"""Of each kind: a sixth of them show another shape with a LoRA than without it, rightly or wrongly, so that in 40 takes
five points would be chance."""
SEED = 10**6 + 9100


def main(folder: Path, takes: int = TAKES) -> int:
    """Write the files into `folder`; returns 0."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number, scene in enumerate(unseen_look.training_scenes(FRAMES), start=1):
        name = f"look_{number}.mp4"
        pictures = unseen_look.draw(scene, FRAMES, SIDE, SIDE).permute(1, 2, 3, 0)
        with Movie(folder / name, MediaFormat.H264, Fraction(RATE), SIDE, SIDE) as movie:
            for index, picture in enumerate((pictures * 255).round().byte().numpy()):
                movie.write(np.ascontiguousarray(picture), [index])
        clips.append({"file": name, "caption": unseen_look.caption(scene)})
    sampled = scenes.sample_scenes(SEED, 4 * takes, held_out=True, frames=FRAMES)
    wanted = [replace(scene, look="flat") for scene in sampled if measures.reads_motion(scene)][:takes]
    asked = [
        {"prompt": prompts.plain(scene), "seed": seed, "scene": asdict(scene)} for seed, scene in enumerate(wanted)
    ]
    said = {"trigger": unseen_look.TRIGGER, "frames": FRAMES, "rate": RATE, "clips": clips, "takes": asked}
    (folder / "asked.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
