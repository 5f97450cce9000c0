"""`python -m wan_backend.interchange.process export|import [FOLDER]`: writes or reads one file of a cut.

A process of its own, with limits of memory and time, so that a hostile or huge file ends nothing else. It reads the
params of `export_timeline` or `import_timeline` as JSON from stdin and answers on stdout with a line of JSON: the
result, or the problem. FOLDER is where the media of an .otioz is unpacked; it mustn't be there yet.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..frames import process_limits
from ..protocol import cut_file, process_setup
from ..protocol.conversion import from_json, to_json
from ..protocol.cut import (
    MAX_CUT_BYTES,
    Cut,
    ExportTimelineParams,
    ExportTimelineResult,
    ImportTimelineParams,
    ImportTimelineResult,
    is_sane_cut,
)
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import FrameRate, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import folder_trees, whole_file
from ..storage.disk_errors import reason
from . import bundle, movies, other_formats, reading, writing
from .finding import Finder

MEMORY_BYTES = 3 << 30
"""Beyond what the process has when it starts; a cut of 3,000 clips takes a tenth of it."""
SECONDS = 580.0
BUNDLE = ".otioz"


def export(params: ExportTimelineParams) -> ExportTimelineResult:
    """Write the cut. Raises Refusal and OSError."""
    cut = read_cut(Path(params.cut_file))
    file = Path(params.file)
    lost: list[Sentence] = []
    ending = file.suffix.lower()
    packed = ending == BUNDLE
    as_movies = params.as_movies or ending in other_formats.ENDINGS
    folder = _new_folder(file, passing=packed) if as_movies else None
    try:
        if folder is not None:
            cut = _with_movies(cut, folder, lost)
        return _exported(cut, file, packed, lost)
    except BaseException:
        if folder is not None:
            folder_trees.remove(folder, ignore_errors=True)
        raise
    finally:
        if folder is not None and packed:
            folder_trees.remove(folder, ignore_errors=True)


def _new_folder(file: Path, passing: bool) -> Path:
    """Where movies are made: a folder that isn't there yet."""
    names = (f"{file.stem}_movies{'' if number == 1 else f'-{number}'}" for number in itertools.count(1))
    folders = (file.with_name(f".{name}.partial" if passing else name) for name in names)
    return next(each for each in folders if not each.exists())


def _with_movies(cut: Cut, folder: Path, lost: list[Sentence]) -> Cut:
    made = movies.Movies(folder, cut.frame_rate.exact())
    cut = made.of(cut)
    if made.left:
        lost.append(
            Sentence(
                "Picture sequences of which no movie was made, since their sizes are odd or differ, they can't be read "
                "or there was no time: {count}.",
                count=made.left,
            )
        )
    return cut


def _exported(cut: Cut, file: Path, packed: bool, lost: list[Sentence]) -> ExportTimelineResult:
    irregular = sum(len(each.files) > 1 and not writing.is_sequence(each) for each in bundle.files_of(cut))
    if irregular:
        lost.append(
            Sentence(
                "Picture sequences whose names don't count up, and of which others show one picture: {count}.",
                count=irregular,
            )
        )
    if packed:
        packer = bundle.Packer()
        packer.write(file, writing.text_of(writing.timeline_of(cut, packer.place)))
        if packer.missing:
            lost.append(
                Sentence("Media that isn't on the disk, and so not in the file: {count}.", count=packer.missing)
            )
    elif file.suffix.lower() in other_formats.ENDINGS:
        other_formats.write(cut, file, lost)
    else:
        whole_file.write(file, writing.text_of(writing.timeline_of(cut)).encode("utf-8"))
    clips = [clip for track in cut.all_tracks() for clip in track.clips]
    takes = sum(bool(media.job_id) for clip in clips for media in clip.media)
    return ExportTimelineResult(len(clips), takes, lost)


def import_(params: ImportTimelineParams, folder: Path | None) -> ImportTimelineResult:
    """Read the file, look where its media is, and write the cut. Raises Refusal and OSError."""
    file = Path(params.file)
    if not file.is_file():
        raise Refusal.of(ProblemKind.BAD_SOURCE, Sentence("There is no file {file}: choose another.", file=file.name))
    found, base = _read(file, folder, params.frame_rate)
    if folder is not None and base == str(folder):
        bundle.unpack(file, folder)
    finder = Finder(base, params.media_folders, params.search_folder)
    cut = finder.found(found.cut)
    if not is_sane_cut(cut):
        raise Refusal.of(ProblemKind.BAD_SOURCE, Sentence("{file} holds values that no cut has.", file=file.name))
    lost = list(found.lost)
    if finder.moved:
        lost.append(
            Sentence("Media that was found in {folder}: {count}.", folder=params.search_folder, count=finder.moved)
        )
    if finder.lost_takes:
        lost.append(Sentence("Other takes of clips that weren't found: {count}.", count=finder.lost_takes))
    whole_file.write(Path(params.cut_file), "".join(cut_file.lines_of(cut)).encode("ascii"))
    return ImportTimelineResult(sum(len(track.clips) for track in cut.all_tracks()), finder.missing, lost)


def _read(file: Path, folder: Path | None, frame_rate: FrameRate) -> tuple[reading.Read, str]:
    """The cut in a file, and the folder by which its media's paths are meant. Raises Refusal and OSError."""
    if file.suffix.lower() in other_formats.ENDINGS:
        lost: list[Sentence] = []
        timeline = other_formats.read(file, frame_rate, lost)
        found = reading.of(timeline, str(file.parent))
        return replace(found, lost=[*lost, *found.lost]), str(file.parent)
    if zipfile.is_zipfile(file):
        return reading.read(bundle.content_of(file), str(folder)), str(folder)
    if file.stat().st_size > MAX_CUT_BYTES:
        raise Refusal.of(ProblemKind.TOO_LARGE, Sentence("{file} is too large to be a cut.", file=file.name))
    if file.suffix.lower() == BUNDLE:
        words = Sentence("{file} is damaged, or only a part of it was copied: copy or export it anew.", file=file.name)
        raise Refusal.of(ProblemKind.BAD_SOURCE, words)
    return reading.read(file.read_bytes().decode("utf-8", "replace"), str(file.parent)), str(file.parent)


def read_cut(file: Path) -> Cut:
    """The cut in a file of JSON. Raises Refusal and OSError."""
    try:
        if file.stat().st_size > MAX_CUT_BYTES:
            raise ValueError("it is too large")
        with open(file, encoding="ascii") as lines:
            return cut_file.read(lines)
    except (ValueError, ProtocolError) as error:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE, Sentence("The cut can't be read ({error}).", error=str(error)[:200])
        ) from None


def answer(work: Callable[[], Any], name: str) -> dict[str, Any]:
    """The result of `work`, or the problem, as JSON values."""
    try:
        return {"result": to_json(work())}
    except Refusal as refusal:
        problem = refusal.problem
    except zipfile.BadZipFile as error:
        return _problem(
            ProblemKind.BAD_SOURCE, Sentence("{file} is damaged ({error}): export it anew.", file=name, error=error)
        )
    except OSError as error:
        return _problem(
            ProblemKind.FOLDER,
            Sentence(
                "{file} can't be used ({reason}): choose another file or folder.", file=name, reason=reason(error)
            ),
        )
    except MemoryError:
        return _problem(ProblemKind.TOO_LARGE, Sentence("{file} takes more memory than any cut should.", file=name))
    except RecursionError:
        return _problem(ProblemKind.BAD_SOURCE, Sentence("{file} can't be read (it is nested too deeply).", file=name))
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:  # of a hostile file
        words = f"{type(error).__name__}: {error}"[:200]
        return _problem(ProblemKind.BAD_SOURCE, Sentence("{file} can't be read ({error}).", file=name, error=words))
    return {"problem": to_json(problem)}


def _problem(kind: ProblemKind, sentence: Sentence) -> dict[str, Any]:
    return {"problem": to_json(Refusal.of(kind, sentence).problem)}


def main() -> int:
    """Do what stdin asks for; returns the exit code."""
    process_setup.exit_after_parent()
    process_limits.limit_memory(MEMORY_BYTES)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    order = json.load(sys.stdin)
    answers, sys.stdout = sys.stdout, sys.stderr  # adapters print
    if sys.argv[1] == "export":
        exported = from_json(ExportTimelineParams, order, "params")
        said = answer(lambda: export(exported), Path(exported.file).name)
    else:
        imported = from_json(ImportTimelineParams, order, "params")
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
        said = answer(lambda: import_(imported, folder), Path(imported.file).name)
    answers.write(json.dumps(said) + "\n")
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
