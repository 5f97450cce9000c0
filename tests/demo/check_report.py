"""Fails where the demo did not do what it says: `python check_report.py out/demo`. Standard library only.

After the folder may follow the tasks of a demo that made only these, with commas between: there is no film then.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote

PHASES = {"setup", "queue", "load", "denoise", "decode", "place"}
PLACES = {
    "text_to_video": (1, 1, 37),
    "image_to_video": (2, 37, 73),
    "restyle": (2, 73, 109),
    "fill_gap": (1, 133, 157),
    "extend": (1, 181, 205),
    "previs": (2, 205, 241),
}
"""Channel, first frame and the frame after the last one of each task's take."""
ROLES = {
    "text_to_video": [],
    "image_to_video": ["first"],
    "restyle": ["footage"],
    "fill_gap": ["before", "after"],
    "extend": ["before"],
    "previs": ["depth"],
}
LEAST_PSNR_DB = 28.0
TAKES = {"fill_gap": [(11, "star", True), (12, "", False), (13, "", False)]}
"""Of a place that several takes were asked for: seed, mark, and whether the strip shows it, in the order of asking."""


def check(folder: Path, only: str = "") -> None:
    """Raises AssertionError that names what is wrong."""
    tasks = [task for task in PLACES if not only or task in only.split(",")]
    for name in ("demo.blend",) if only else ("demo.blend", "timeline.mp4", "contact_sheet.png"):
        assert (folder / name).stat().st_size > 10_000, f"{name} is missing or empty"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["blender"] and set(report["backend"]) == {"device", "torch", "model"}
    assert all(report["backend"].values()), report["backend"]
    assert [step["task"] for step in report["steps"]] == tasks, "not each task once"
    for number, step in enumerate(report["steps"], start=1):
        check_place(step, len(list((folder / "frames" / f"{number:02d}").glob("*.png"))))
        check_pictures(step)
        check_takes(step, folder / "frames", number)
    if not only:
        check_cut(folder / "film.otioz", folder / "film_by_otiotool.otio")
    sources = report["sources"]
    assert len(sources["before"]) >= 5, sources["before"]
    for name, was in sources["before"].items():
        assert sources["after"][name] == was, f"'{name}' was {was} and is {sources['after'][name]}"


def check_place(step: dict, frames: int) -> None:
    """The take covers the frames it should, on the channel it should, to the frame."""
    task, strip = step["task"], step["strip"]
    place = (strip["channel"], strip["start"], strip["end_exclusive"])
    assert place == PLACES[task], f"{task}: {place} instead of {PLACES[task]}"
    asked = step["asked"]
    assert asked == {"channel": place[0], "start": place[1], "length_frames": place[2] - place[1]}, f"{task}: {asked}"
    assert frames == asked["length_frames"], f"{task}: {frames} files for {asked['length_frames']} frames"
    assert set(step["seconds"]) >= PHASES, step["seconds"]


def check_takes(step: dict, frames: Path, number: int) -> None:
    """The strip keeps all the takes that were asked for its place, each of its own."""
    kept = step.get("takes", [])
    found = [(take["seed"], take["mark"], take["shown"]) for take in kept]
    assert found == TAKES.get(step["task"], []), f"{step['task']}: the strip keeps {found}"
    folders = [frames / f"{number:02d}-seed-{take['seed']}" for take in kept]
    films = [tuple(file.read_bytes() for file in sorted(folder.glob("*.png"))) for folder in folders]
    assert all(len(film) == step["asked"]["length_frames"] for film in films), f"{step['task']}: {folders}"
    assert len(set(films)) == len(films), f"{step['task']}: two of its takes are the same"


def check_cut(file: Path, read: Path) -> None:
    """The film for other programs has all takes of the place that several were asked for, with their pictures.

    So says what OpenTimelineIO's own otiotool has read of it and written.
    """
    with zipfile.ZipFile(file) as packed:
        names = set(packed.namelist())
    cut = json.loads(read.read_text("utf-8"))
    clips = [clip for track in cut["tracks"]["children"] for clip in track["children"] if "media_references" in clip]
    (several,) = [clip for clip in clips if len(clip["media_references"]) > 1]
    takes = several["media_references"]
    assert sorted(takes) == ["take 001", "take 002", "take 003"], f"{read.name}: {sorted(takes)}"
    assert several["active_media_reference_key"] == "take 001", several["active_media_reference_key"]
    for take in takes.values():
        first = f"{take['target_url_base']}{take['name_prefix']}{take['start_frame']:04d}{take['name_suffix']}"
        assert unquote(first) in names, f"{file.name} has no {first}"


def check_pictures(step: dict) -> None:
    """It was made from what it should be, and meets it."""
    task, found = step["task"], step["measures"]
    assert [source["role"] for source in step["sources"]] == ROLES[task], f"{task}: {step['sources']}"
    assert [source["rendered"] for source in step["sources"]] == [task == "previs"] * len(ROLES[task]), task
    assert 5 < found["brightness"] < 250 and found["motion"] > 0.5, f"{task}: {found}"
    if task == "image_to_video":
        assert found["first_frame_psnr_db"] >= LEAST_PSNR_DB, f"the first frame is not the still: {found}"
    seams = [side for side in ("before", "after") if side in ROLES[task]]
    for side in seams:
        seam, own = found[f"seam_{side}"], found[f"neighbor_{side}"]
        assert seam <= own, f"{task}: {seam} levels from where the strip {side} goes on; its own frames differ by {own}"


if __name__ == "__main__":
    check(Path(sys.argv[1]), *sys.argv[2:3])
    sys.stdout.write("The demo's report is right.\n")
