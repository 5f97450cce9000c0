"""Contents that a client sends: pieces in order, names that are names, hashes that are true."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from wan_backend.protocol import ProtocolError
from wan_backend.protocol import transfer as t
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import ProblemKind
from wan_backend.server import media_requests
from wan_backend.server.media_requests import SentMedia
from wan_backend.storage import training_folder

ID = "0" * 31 + "1"


@pytest.fixture
def sent(tmp_path: Path) -> SentMedia:
    return SentMedia(tmp_path)


def content_of(data: bytes) -> t.Content:
    return t.Content(hashlib.sha256(data).hexdigest(), len(data))


def put(sent: SentMedia, data: bytes, piece: int = 1000, start: int = 0) -> t.Content:
    content = content_of(data)
    for offset in range(start, max(1, len(data)), piece):
        sent.put(t.PutParams(content, offset, t.packed_piece(data[offset : offset + piece])))
    return content


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(4500), bytes(70_000)])
def test_what_was_sent_is_there_under_each_name(sent, data):
    content = put(sent, data)
    assert sent.lacks(t.LacksParams([content])).bytes_there == [len(data)]
    folder = sent.gather(t.GatherParams(ID, [t.NamedContent(n, content.sha256) for n in ("a.mov", "b.mov")])).folder
    assert [Path(folder, name).read_bytes() for name in ("a.mov", "b.mov")] == [data, data]


def test_it_goes_on_where_it_broke_off_and_other_pieces_are_left_out(sent):
    data = os.urandom(3000)
    content = content_of(data)
    assert sent.put(t.PutParams(content, 0, t.packed_piece(data[:1000]))).bytes_there == 1000
    assert sent.put(t.PutParams(content, 2000, t.packed_piece(data[2000:]))).bytes_there == 1000
    assert sent.put(t.PutParams(content, 0, t.packed_piece(data[:1000]))).bytes_there == 1000
    assert sent.lacks(t.LacksParams([content])).bytes_there == [1000]
    put(sent, data, start=1000)
    assert sent.lacks(t.LacksParams([content])).bytes_there == [3000]


def test_what_is_not_what_it_says_is_thrown_away(sent):
    content = t.Content("ab" * 32, 5)
    with pytest.raises(Refusal) as refused:
        sent.put(t.PutParams(content, 0, t.packed_piece(b"12345")))
    assert refused.value.problem.kind is ProblemKind.CHECKSUM
    assert sent.lacks(t.LacksParams([content])).bytes_there == [0]


@pytest.mark.parametrize("name", ["../escaped", "/etc/passwd", "", "..", "a/b", "a\0b"])
def test_a_name_is_one_name(sent, name, tmp_path):
    content = put(sent, b"x")
    with pytest.raises(ProtocolError):
        sent.gather(t.GatherParams(ID, [t.NamedContent(name, content.sha256)]))
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("wrong", ["../x", "", "AB" * 32, "ab" * 31])
def test_hashes_and_ids_are_nothing_else(sent, wrong):
    with pytest.raises(ProtocolError):
        sent.lacks(t.LacksParams([t.Content(wrong, 1)]))
    with pytest.raises(ProtocolError):
        sent.gather(t.GatherParams(wrong, []))
    with pytest.raises(ProtocolError):
        sent.place(t.PlaceParams(wrong))


def test_a_piece_that_unpacks_to_more_than_a_piece_is_refused(sent):
    bomb = t.packed_piece(bytes(t.MAX_PIECE_BYTES + 1))
    assert bomb.packed and len(bomb.data) < 10_000
    with pytest.raises(ProtocolError):
        sent.put(t.PutParams(t.Content("ab" * 32, 1 << 30), 0, bomb))


def test_a_piece_beyond_the_files_end_is_refused(sent):
    with pytest.raises(ProtocolError):
        sent.put(t.PutParams(t.Content("ab" * 32, 2), 0, t.packed_piece(b"123")))


def test_a_full_disk_is_a_sentence_and_costs_nothing_of_what_is_there(sent, monkeypatch):
    data = os.urandom(2000)
    content = content_of(data)
    sent.put(t.PutParams(content, 0, t.packed_piece(data[:1000])))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(media_requests.private_files, "opened", full)
        patched.setattr(media_requests, "free_bytes_at", lambda _: 0)
        with pytest.raises(Refusal) as refused:
            sent.put(t.PutParams(content, 1000, t.packed_piece(data[1000:])))
    assert refused.value.problem.kind is ProblemKind.DISK_FULL and "make room there" in refused.value.message
    put(sent, data, start=1000)
    assert sent.lacks(t.LacksParams([content])).bytes_there == [2000]


def test_only_files_of_takes_are_read(sent, tmp_path):
    (tmp_path / "secret").write_text("x")
    for name in ("secret", "../secret", "take.json.part"):
        with pytest.raises(ProtocolError):
            sent.take_read(t.TakeReadParams("a" * 32, name), tmp_path)


def test_only_a_take_in_a_clients_place_is_removed(sent, tmp_path):
    place = Path(sent.place(t.PlaceParams(ID)).folder)
    (place / "0001 fog").mkdir()
    mine = tmp_path / "mine" / "0001 fog"
    mine.mkdir(parents=True)
    for folder in (mine, place, tmp_path):
        sent.take_arrived(str(folder))
        assert folder.is_dir()
    sent.take_arrived(str(place / "0001 fog"))
    assert not (place / "0001 fog").exists()


def test_what_a_stopped_training_has_left_goes_after_long(sent, tmp_path):
    place = Path(sent.place(t.PlaceParams(ID)).folder)
    training, take = place / "Harbor", place / "0001 fog"
    for folder, name in ((training, "training.json"), (take, "take.json")):
        folder.mkdir()
        (folder / name).write_text("{}")
    long_ago = time.time() - media_requests.KEPT_SECONDS - 10
    sent.prune()
    assert training.is_dir()
    for path in (training / "training.json", training, take / "take.json", take):
        os.utime(path, (long_ago, long_ago))
    sent.prune()
    assert not training.exists() and take.is_dir()


@pytest.mark.parametrize("name", ["../x", "step 000001/../../x.safetensors", "C:x.safetensors", "a/b.safetensors", "x"])
def test_of_a_training_only_its_own_files_are_read(sent, tmp_path, name):
    folder = training_folder.claim(tmp_path, "Harbor", ID, {})
    (folder / "Harbor.safetensors").write_bytes(b"a LoRA")
    (tmp_path / "x.safetensors").write_bytes(b"no business of theirs")
    files = sent.training_files(t.TakeFilesParams(ID), str(tmp_path), whole=False).files
    assert [file.name for file in files] == ["Harbor.safetensors", "training.json"]
    piece = sent.training_read(t.TakeReadParams(ID, "Harbor.safetensors"), str(tmp_path))
    assert t.piece_bytes(piece.piece) == b"a LoRA"
    with pytest.raises(ProtocolError):
        sent.training_read(t.TakeReadParams(ID, name), str(tmp_path))


def test_what_nobody_used_for_long_goes_and_the_rest_stays(sent, tmp_path):
    old, new = put(sent, b"old"), put(sent, b"new")
    sent.gather(t.GatherParams(ID, [t.NamedContent("a", new.sha256)]))
    long_ago = time.time() - media_requests.KEPT_SECONDS - 10
    for content in (old, new):
        os.utime(tmp_path / "sent/contents" / content.sha256, (long_ago, long_ago))
    sent.prune()
    assert sent.lacks(t.LacksParams([old, new])).bytes_there == [0, 3]
