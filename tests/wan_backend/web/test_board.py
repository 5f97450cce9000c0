"""The queue and the takes as the page shows them, and what their buttons do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wan_backend.protocol import Refusal
from wan_backend.protocol.messages import (
    FrameRate,
    JobState,
    LoraUse,
    MediaFormat,
    Origin,
    Problem,
    ProblemKind,
    Role,
    Source,
    Take,
    TakeRequest,
)
from wan_backend.protocol.sentences import Sentence
from wan_backend.web.board import Board, left_in_words
from wan_backend.web.server_line import PROJECT

FORM = TakeRequest("a red circle", "small", 256, 144, 17, FrameRate(16), 7, "/takes", origin=Origin(project_id=PROJECT))
BLENDERS = replace(FORM, prompt="<b>harbor</b>", origin=Origin("/film.blend", "f" * 32))


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    (tmp_path / "takes").mkdir()
    return tmp_path / "takes"


@pytest.fixture
def board(line, uploads, takes) -> Board:
    return Board(line, uploads, takes)


@pytest.fixture
def made(takes):
    """made(name) is a take on the disk."""

    def make(name: str = "0001 a red circle, seed 7", movie: str = "take.mp4") -> Take:
        folder = takes / name
        folder.mkdir()
        (folder / movie).write_bytes(b"movie")
        (folder / "take.json").write_text("{}")
        return Take(str(folder), movie, MediaFormat.H264, 17, 256, 144, FrameRate(16))

    return make


def test_the_queue_shows_every_job_and_whose_it_is(board, line, tmp_path):
    (tmp_path / "preview.jpg").write_bytes(b"\xff\xd8small")
    line.add(
        FORM,
        JobState.DENOISING,
        progress=0.5,
        eta_seconds=42.0,
        sentence=Sentence("Step {step} of 8", step=4),
        preview=str(tmp_path / "preview.jpg"),
    )
    line.add(BLENDERS, preview=str(tmp_path / "preview.jpg"))
    first, second = board.board()["queue"]
    assert (first["what"], first["left"], first["runs"], first["mine"]) == (
        "Step 4 of 8",
        "about 42 s left",
        True,
        True,
    )
    assert first["preview"].startswith("data:image/jpeg;base64,")
    assert (second["title"], second["mine"], second["runs"], second["preview"]) == ("<b>harbor</b>", False, False, "")


def test_a_page_that_has_seen_all_is_told_nothing(board, line):
    seen = board.board()["version"]
    assert board.board({"seen": seen}) is None
    line.version += 1
    assert board.board({"seen": seen})["version"] == line.version
    assert board.board(["nonsense"]) is not None


def test_a_take_is_shown_with_its_settings(board, line, made):
    request = replace(FORM, loras=[LoraUse("/loras/stripes.safetensors", 0.8)], negative_prompt="rain")
    line.add(request, JobState.DONE, take=made())
    (row,) = board.board()["takes"]
    assert row["settings"] == (
        "From words · Small · Standard · 256 × 144 · 1.1 s · seed 7 · stripes 0.8 · without rain"
    )
    assert row["url"].startswith("gradio_api/file=/") and " " not in row["url"] and row["name"].endswith("seed 7.mp4")


def test_takes_elsewhere_on_the_disk_are_not_shown(board, line, made, tmp_path):
    outside = tmp_path / "outside" / "take.mp4"
    outside.parent.mkdir()
    outside.write_bytes(b"x")
    shown = Take("", "take.mp4", MediaFormat.H264, 17, 256, 144, FrameRate(16))
    line.add(FORM, JobState.DONE, take=replace(shown, folder=str(outside.parent)))
    line.add(FORM, JobState.DONE, take=replace(made("0002 x, seed 1"), first_file="../../outside/take.mp4"))
    link = made("0003 x, seed 1")
    Path(link.folder, "take.mp4").unlink()
    Path(link.folder, "take.mp4").symlink_to(outside)
    line.add(FORM, JobState.DONE, take=link)
    line.add(BLENDERS, JobState.DONE, take=made("0004 of Blender, seed 1"))
    assert board.board()["takes"] == []


def test_a_job_that_failed_says_why_and_can_be_tried_again(board, line):
    problem = Problem(ProblemKind.WORKER_DIED, Sentence("The worker ended; try again."))
    job = line.add(FORM, JobState.FAILED, problem=problem)
    line.add(BLENDERS, JobState.FAILED, problem=problem)
    (row,) = board.board()["queue"]
    assert row["ended"] and row["what"] == "The worker ended; try again."
    assert board.retry({"id": job.job_id}) == "" and line.called[0][0] == "retry"


def test_cancel_ends_a_job_which_is_then_shown_no_more(board, line):
    job = line.add(FORM, JobState.DENOISING)
    assert board.cancel({"id": job.job_id}) == "" and [method for method, _ in line.called] == ["cancel"]
    line.statuses[job.job_id] = replace(job, state=JobState.CANCELED)
    assert board.board()["queue"] == []


@pytest.mark.parametrize("button", ["cancel", "repeat", "retry", "remove"])
def test_what_blender_asked_for_is_blenders_to_change(board, line, button):
    job = line.add(BLENDERS, JobState.DENOISING)
    assert getattr(board, button)({"id": job.job_id}) == "That take was asked for in Blender; change it there."
    for nonsense in ({"id": "x"}, {"id": None}, None, [], {"id": {}}):
        assert getattr(board, button)(nonsense) == "That is no longer in the list."
    assert line.called == []


def test_again_is_the_same_with_another_seed(board, line, made, takes):
    job = line.add(FORM, JobState.DONE, take=made())
    assert board.repeat({"id": job.job_id}) == ""
    again = line.called[0][1].request
    assert again.seed != 7 and replace(again, seed=7) == replace(FORM, media_folder=str(takes))


def test_a_removed_take_goes_into_the_trash(board, line, made, takes):
    take = made()
    job = line.add(FORM, JobState.DONE, take=take)
    assert board.remove({"id": job.job_id}) == ""
    assert not Path(take.folder).exists() and not line.statuses
    (kept,) = (takes / "trash").iterdir()
    assert (kept / "take.mp4").read_bytes() == b"movie"


def test_no_folder_outside_of_the_takes_is_moved(board, line, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "take.json").touch()
    take = Take(str(outside), "take.mp4", MediaFormat.H264, 17, 256, 144, FrameRate(16))
    job = line.add(FORM, JobState.DONE, take=take)
    assert board.remove({"id": job.job_id}) == "" and (outside / "take.json").exists()


def test_a_refusal_is_said_in_its_sentence(board, line):
    line.refusal = Refusal.of(ProblemKind.DISK_FULL, Sentence("The disk is full; make room."))
    job = line.add(FORM)
    assert board.cancel({"id": job.job_id}) == "The disk is full; make room."


def test_uploads_go_once_no_job_is_made_from_them(board, line, uploads, sent, monkeypatch):
    from wan_backend.protocol.uploads import Upload

    used, unused = sent(Upload(4, 4, file="picture.png")), sent(Upload(4, 4, file="picture.png"))
    source = Source(Role.FIRST, str(uploads.folder_of(used)), ["picture.png"])
    line.add(replace(FORM, sources=[source]))
    board.prune()
    assert uploads.known(unused) is not None  # somebody may still be writing the prompt
    monkeypatch.setattr("wan_backend.web.uploads.KEPT_SECONDS", -1.0)
    line.sentence = "Connecting to the server."
    board.prune()
    assert uploads.known(unused) is not None  # nobody knows which are used
    line.sentence = ""
    board.prune()
    assert uploads.known(unused) is None and uploads.known(used) is not None


def test_time_left_in_words():
    words = [left_in_words(seconds) for seconds in (None, 0.2, 42.4, 89, 200, 5399, 8000)]
    assert words == [
        "",
        "about 1 s left",
        "about 42 s left",
        "about 89 s left",
        "about 3 min left",
        "about 1 h 30 min left",
        "about 2 h 13 min left",
    ]
