"""What is asked of the backend for a comparison, and which of its answers are believed."""

from __future__ import annotations

import pytest

from wan_backend.protocol.media import FILMSTRIP_HEAD, MAX_REEL_FRAMES, REEL_MARK


class Client:
    """Remembers what it is asked."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params=None, answered=None, failed=None) -> None:
        self.calls.append((params.films, answered, failed))


@pytest.fixture
def module(addon):
    return addon("jobs.reels")


def frames(module, count: int, folder: str = "/takes/a", first: int = 1) -> list:
    return [module.Frame(f"{folder}/{index:04d}.png", -1, 480) for index in range(first, first + count)]


def test_one_question_for_both_sides_and_none_twice(module) -> None:
    reels, client = module.ReelQuery(), Client()
    wanted = [(frames(module, 3), (832, 480)), (frames(module, 2, "/takes/b"), (640, 360))]
    reels.want(wanted)
    reels.tick(client)
    reels.want(wanted)
    reels.tick(client)
    ((films, _, failed),) = client.calls
    assert [film.source.files for film in films] == [["0001.png", "0002.png", "0003.png"], ["0001.png", "0002.png"]]
    assert [(film.width, film.side) for film in films] == [(832, 480), (640, 480)] and reels.busy
    failed(type("Error", (), {"message": "no"})())
    assert not reels.busy and reels.is_known(wanted[0][0][0]) and reels.of(wanted[0][0][0]) is None
    reels.forget()
    assert not reels.is_known(wanted[0][0][0])


def test_no_more_than_the_server_makes(module) -> None:
    reels, client = module.ReelQuery(), Client()
    wanted = frames(module, MAX_REEL_FRAMES + 5)
    asked = []
    for seconds in (0.01, 100.0, 0.01):
        reels.want([(wanted, (832, 480))])
        reels.tick(client)
        asked.append(client.calls[-1][0][0].source.frames)
        reels._note_time(asked[-1], seconds)
        reels._asked = ()
    assert asked == [module.FIRST_FRAMES, MAX_REEL_FRAMES, module.LEAST_FRAMES], "fewer where the answer takes long"


@pytest.mark.parametrize("numbers", [[7, 8, 9], [9, 8, 7], [7, 9]])
def test_frames_of_a_movie_are_one_stretch(module, numbers) -> None:
    reels, client = module.ReelQuery(), Client()
    reels.want([([module.Frame("/a/take.mkv", number, 480) for number in numbers], (832, 480))])
    reels.tick(client)
    (film,) = client.calls[0][0]
    assert (film.source.first_frame, film.source.frames, film.source.is_movie) == (7, 3, True)


def whole(width: int = 2, height: int = 2, count: int = 2, mark: bytes = REEL_MARK) -> bytes:
    pixels = b"".join(bytes([index]) * 4 * width * height for index in range(count))
    return FILMSTRIP_HEAD.pack(mark, width, height, count, 0) + pixels


def test_a_frame_is_found_in_its_reel(module, tmp_path) -> None:
    file = tmp_path / "a.film"
    file.write_bytes(whole())
    reels, asked = module.ReelQuery(), frames(module, 3)
    reels._keep(tuple(asked), str(file))
    assert reels.of(asked[1]).rows(1, 2) == bytes([1]) * 8 and reels.of(asked[2]) is None
    file.write_bytes(whole()[:-9])
    with pytest.raises(OSError):
        reels.of(asked[1]).rows(0, 2)


@pytest.mark.parametrize("content", [b"", whole()[:-1], whole() + b".", whole(mark=b"WVF1"), whole(count=0)])
def test_another_is_not_believed(module, tmp_path, content) -> None:
    file = tmp_path / "a.film"
    file.write_bytes(content)
    assert module._head(str(file)) is None
