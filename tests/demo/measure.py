"""Looks at what the demo made and adds what it measured to report.json. Runs in the backend's environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from wan_backend.frames import source_frames
from wan_backend.protocol.messages import Role, Source


def main(folder: Path) -> int:
    """Measure each take against what it was made from; returns 0."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    for number, step in enumerate(report["steps"], start=1):
        files = sorted((folder / "frames" / f"{number:02d}").glob("*.png"))
        step["measures"] = measures(step, [imageio.imread(file)[..., :3] for file in files])
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def measures(step: dict, take: list[np.ndarray]) -> dict[str, float]:
    """What of the take has to be near to its sources. Differences are means in levels of 255."""
    height, width = take[0].shape[:2]
    found = {"brightness": float(np.mean(take)), "motion": difference(take[0], take[-1])}
    for source in step["sources"]:
        pictures = pictures_of(source, range(source["frames"]), width, height)
        if source["role"] == "first":
            found["first_frame_psnr_db"] = psnr(take[0], pictures[0])
        elif source["role"] == "before":
            found["seam_before"] = difference(going_on(pictures[-2], pictures[-1]), take[0])
            found["neighbor_before"] = difference(pictures[-2], pictures[-1])
        elif source["role"] == "after":
            found["seam_after"] = difference(going_on(pictures[1], pictures[0]), take[-1])
            found["neighbor_after"] = difference(pictures[0], pictures[1])
    return {name: round(value, 3) for name, value in found.items()}


def going_on(far: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The linear continuation of two frames of a neighbor, to the side of `near`."""
    return (2 * near.astype(float) - far).clip(0, 255)


def pictures_of(source: dict, indices, width: int, height: int) -> list[np.ndarray]:
    """Frames `indices` of a source as the report keeps it, as the backend reads them."""
    names = ("folder", "files", "is_movie", "first_frame", "frames", "rendered")
    asked = Source(Role(source["role"]), **{name: source[name] for name in names})
    return list(source_frames.read(asked, list(indices), width, height, (1280, 720)))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean distance of two pictures."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """How near two pictures are, in dB; 99 where they are the same."""
    error = float(((one.astype(float) - other.astype(float)) ** 2).mean())
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
