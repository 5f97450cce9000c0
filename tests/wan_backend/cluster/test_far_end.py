"""A node without Ray: versions are compared, the worker is started, its lines are kept until they arrive."""

from __future__ import annotations

import builtins
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import wan_backend
from tests.wan_backend.server.served import FAKE_WORKER, is_alive, wait_until
from wan_backend.cluster import actor
from wan_backend.cluster.actor import Hand
from wan_backend.cluster.far_end import EXIT, LINE, LONG, FarEnd
from wan_backend.protocol import OverlongLine
from wan_backend.server.cluster_line import ClusterWish, examine
from wan_backend.server.inbox import WorkerLine


@pytest.fixture(autouse=True)
def on_a_node(monkeypatch):
    here = SimpleNamespace(get_node_id=lambda: "a1b2")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_runtime_context=lambda: here))


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    mark = tmp_path / "seen.txt"
    mark.write_text("words")
    made = {"mark": str(mark), "words": "words", "state": str(tmp_path), "logs": str(tmp_path / "logs"), "number": 1}
    command = [sys.executable, str(FAKE_WORKER)]
    return {**made, "command": command, "online": False, "cards": 0, "silent_seconds": 60.0, "version": None}


@pytest.fixture
def begun(order):
    ends: list[FarEnd] = []

    def begin(**changes: Any) -> FarEnd:
        ends.append(FarEnd({**order, **changes}))
        assert ends[-1].begin()["how"] == actor.BEGAN
        return ends[-1]

    yield begin
    for end in ends:
        end.kill()
        end._process.wait(60)


def read_until(end: FarEnd, wanted: str, seen: int = 0) -> list[tuple[str, bytes]]:
    """The events up to the first of that kind."""
    found: list[tuple[str, bytes]] = []
    while wanted not in [kind for kind, _ in found]:
        first, events, _ = end.read(seen)
        assert first == seen
        found += events
        seen += len(events)
    return found


def test_a_node_without_the_package_says_so_and_imports_nothing_of_ours(monkeypatch):
    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "wan_backend":
            raise ImportError(name)
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    answer = Hand().begin({"version": "1"})
    assert answer["how"] == actor.LACKS_PACKAGE and answer["python"] == sys.executable and answer["node"] == "a1b2"


def test_a_node_with_another_version_says_which(monkeypatch):
    monkeypatch.setattr(wan_backend, "__version__", "0.0.9")
    answer = Hand().begin({"version": "0.1.0"})
    assert (answer["how"], answer["version"]) == (actor.OTHER_VERSION, "0.0.9")


def test_a_node_that_does_not_see_the_servers_folder_starts_no_worker(order, monkeypatch):
    monkeypatch.setattr("wan_backend.cluster.far_end.MARK_SECONDS", 0.0)
    Path(order["mark"]).write_text("another server's")
    assert FarEnd(order).begin() == {"how": actor.UNSEEN}
    assert FarEnd({**order, "mark": "/nowhere/at/all"}).begin() == {"how": actor.UNSEEN}


def test_a_worker_that_can_not_be_started_is_told_with_the_reason(order):
    answer = FarEnd({**order, "command": ["/nowhere/python"]}).begin()
    assert answer["how"] == actor.UNSTARTED and "no such file" in answer["reason"].lower()


def test_lines_are_kept_until_they_are_said_to_have_arrived(begun):
    end = begun()
    ready = read_until(end, LINE)[0]
    assert json.loads(ready[1])["method"] == "ready"
    first, again, signs = end.read(0)
    assert first == 0 and again[0] == ready and signs is not None
    first, after, _ = end.read(1)
    assert first == 1 and ready not in after


def test_a_line_that_comes_twice_is_handed_over_once(begun):
    end = begun()
    line = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "shutdown", "params": {}}).encode() + b"\n"
    sent: list[bytes] = []
    end._process.send = sent.append
    for number in (1, 1, 2, 1, 2):
        end.write(number, line)
    assert sent == [line, line]


def test_the_end_of_its_stdin_ends_the_worker(begun):
    end = begun()
    end.write(1, b"")
    assert read_until(end, EXIT)[-1] == (EXIT, b"0")


def test_a_worker_for_which_nobody_asks_any_more_is_ended(begun):
    end = begun(silent_seconds=0.0)
    pid = end._process.pid
    wait_until(lambda: not is_alive(pid))


def test_a_line_that_is_too_long_is_told_by_its_beginning(order):
    end = FarEnd(order)
    end.put(WorkerLine(1, OverlongLine(b'{"id": 3')))
    assert end.read(0)[1] == [(LONG, b'{"id": 3')]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "No Ray cluster answers at 127.0.0.1:1"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (
                ("no address", "an address is HOST:PORT"),
                ("ray://127.0.0.1:10001", "is of Ray's client"),
                ("host.invalid:6379", "No Ray cluster answers at host.invalid:6379"),
            )
        ),
    ],
)
def test_an_address_nobody_answers_at_is_a_sentence(address, words):
    ((good, said),) = examine(ClusterWish(address), 60.0)
    assert not good and words in said


def test_a_python_without_ray_says_what_to_run(monkeypatch, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('no ray')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ((good, said),) = examine(ClusterWish("127.0.0.1:1"), 60.0)
    assert not good and "wan_backend.environment cluster" in said


def test_one_that_says_nothing_in_time_is_a_sentence():
    began = time.monotonic()
    ((good, said),) = examine(ClusterWish("127.0.0.1:1"), 0.0)
    assert not good and "doesn't answer in time" in said and time.monotonic() >= began
