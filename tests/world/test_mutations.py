"""Every movie and picture of the corpus, damaged at random: read, or refused by its name; nothing else may come of it.

The readers run in a process of their own, which must outlive them all. WORLD_SEED repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import footage, pictures
from tests.world.entry import Entry
from tests.world.test_corpus import skip_without_needs

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("WORLD_SEED", "14"))
PATIENCE_SECONDS = 1200


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """A few changes: noise, zeros, ones, pieces lost, doubled or moved, an end cut off."""
    changed = bytearray(whole)
    for _ in range(chance.choice([1, 1, 3, 10])):
        if len(changed) < 2:
            break
        place, long = chance.randrange(len(changed)), chance.choice([1, 4, 64, 1024])
        match chance.randrange(6):
            case 0:
                changed[place : place + long] = chance.randbytes(min(long, len(changed) - place))
            case 1:
                changed[place : place + long] = chance.choice([b"\0", b"\xff"]) * min(long, len(changed) - place)
            case 2:
                del changed[place : place + long]
            case 3:
                changed[place:place] = changed[place : place + long]
            case 4:
                other = chance.randrange(len(changed))
                changed[other : other + long] = changed[place : place + long]
            case 5 if chance.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def tried(files: list[Path]) -> list[tuple[str, str | None]]:
    """What came of each; fewer where the reader died."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.world.made", "each"],
        cwd=ROOT, input="\n".join(map(str, files)), capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECONDS, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    told = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(told) == len(files), (
        f"{files[len(told)].name} ended its reader ({done.returncode}): {done.stderr[-800:]}"
    )
    return told


def holds(entry: Entry, folder: Path, count: int) -> None:
    skip_without_needs(entry)
    (folder / "whole").mkdir()
    (folder / "damaged").mkdir()
    whole = entry.make(folder / "whole")
    chance = random.Random(f"{SEED} {entry.name}")
    files = [folder / "damaged" / f"{number}{whole.suffix}" for number in range(count)]
    content = whole.read_bytes()
    for file in files:
        file.write_bytes(mutated(content, chance))
    for name, why in tried(files):
        assert why is None or (name in why and why.endswith(".") and "\n" not in why), why


def of_each(entries: tuple[Entry, ...], short: int) -> list[object]:
    """Every entry in the long run, and the first few in CI."""
    return [
        pytest.param(entry, count, id=f"{entry.name}, {count}", marks=pytest.mark.long if count > 1 else pytest.mark.ci)
        for number, entry in enumerate(entries)
        for count in (1, 40)
        if count > 1 or number < short
    ]


@pytest.mark.parametrize(("entry", "count"), of_each(footage.ENTRIES, 2))
def test_movies(tmp_path, entry, count):
    holds(entry, tmp_path, count)


@pytest.mark.parametrize(("entry", "count"), of_each(pictures.ENTRIES, 2))
def test_pictures(tmp_path, entry, count):
    holds(entry, tmp_path, count)
