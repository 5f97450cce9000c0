"""A server whose workers are on a cluster: places that are waited for, nodes and the whole cluster that go away.

What joins the cluster is a plain object here; tests/wan_backend/cluster has a real one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tests.wan_backend.server.in_process import InProcess, Worker, inside
from tests.wan_backend.server.served import request
from wan_backend.command_line.arguments import parser
from wan_backend.protocol import OverlongLine, carrying
from wan_backend.protocol.carrying import carry, carry_line
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import SETTINGS_FILE, frame_file
from wan_backend.protocol.messages import MediaFormat, Problem, ProblemKind, Take
from wan_backend.protocol.sentences import Sentence
from wan_backend.server import cluster_line, job_runner, serve
from wan_backend.server.cluster_line import ClusterWish
from wan_backend.server.inbox import Event, Receiver, WorkerExit, WorkerLine
from wan_backend.server.worker_pulse import Signs

__all__ = ["inside"]
GONE = Sentence("was lost with node {node} of the cluster", node="blade3")


class Line:
    """Stands for the process that joins the cluster, as the server sees it."""

    now: ClassVar[Line]
    begun: ClassVar[int] = 0
    pid = 0
    message_at = 0.0

    def __init__(
        self, number: int, command: list[str], around: dict[str, str], logs: Path, inbox: Receiver, kind: str, most: int
    ) -> None:
        self.command, self.log_file, self._inbox, self._run = command, logs / "cluster-1.log", inbox, number
        self.orders: dict[int, dict[str, Any]] = {}
        """What was asked for and has no place yet."""
        self.workers: dict[int, Worker] = {}
        Line.now = self
        Line.begun += 1

    def tell(self, line: bytes) -> None:
        self._inbox.put(WorkerLine(self._run, line.rstrip(b"\n")))

    def joins(self) -> None:
        self.tell(carry(0, carrying.CLUSTER, 4))

    def finds_none(self) -> None:
        self.tell(carry(0, carrying.NO_CLUSTER, Sentence("No Ray cluster answers at {address}.", address="farm:6379")))
        self.ends()

    def ends(self) -> None:
        self._inbox.put(WorkerExit(self._run, 1))

    def gives_place(self, node: str = "blade3", shared: int = 1) -> Worker:
        """The first that was asked for is begun there."""
        number = min(self.orders)
        del self.orders[number]
        told = {"node": node, "log": "/shared/worker-1.log", "shared": shared}
        self.tell(carry(number, carrying.BEGAN, told))
        self.workers[number] = Worker(number, [], {}, Path("/shared"), _Pipe(self, number))
        return self.workers[number]

    def loses(self, worker: Worker, word: str = carrying.LOST, how: Sentence = GONE) -> None:
        Worker.living.remove(worker)
        self.tell(carry(worker.number, word, how))

    def send(self, line: bytes) -> None:
        told = carrying.read(line.rstrip(b"\n"))
        assert told is not None
        if told.word == carrying.START:
            self.orders[told.worker] = told.value
        elif told.word == carrying.LINE:
            self.workers[told.worker].send(told.rest + b"\n")
        elif self.orders.pop(told.worker, None) is None and told.worker in self.workers:
            self.workers[told.worker].die(-9)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.die(-9)


class _Pipe:
    """The worker's pipe, carried."""

    def __init__(self, line: Line, number: int) -> None:
        self._line, self._number = line, number

    def put(self, event: Event) -> None:
        if isinstance(event, WorkerExit):
            self._line.tell(carry(self._number, carrying.EXIT, event.code))
        elif isinstance(event, WorkerLine):
            self._line.tell(carry_line(self._number, event.line))


@pytest.fixture
def served(inside, monkeypatch):
    monkeypatch.setattr(cluster_line, "WorkerProcess", Line)
    monkeypatch.setattr(cluster_line, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(Line, "begun", 0)
    return lambda **options: inside(cluster=ClusterWish("farm:6379", 0), **options)


def submit(server: InProcess, media: Path, count: int = 1) -> list[str]:
    return [server.submit(request(media, seed=seed)) for seed in range(count)]


def joined(server: InProcess) -> Line:
    """The line, once it was asked for and has joined."""
    server.until(lambda: Line.begun)
    Line.now.joins()
    server.until(lambda: Line.now.orders)
    return Line.now


def sentence_of(server: InProcess, job: str) -> str:
    return {each["job_id"]: each["sentence"] for each in server.call("list")["jobs"]}[job]


def test_no_place_is_asked_for_before_there_is_a_job(served, media):
    server = served()
    server.settle()
    assert not Line.begun
    submit(server, media)
    server.until(lambda: Line.begun)


def test_as_many_places_are_asked_for_as_jobs_wait_and_a_job_is_made_where_one_comes(served, media):
    server = served(workers=3)
    jobs = submit(server, media, 5)
    line = joined(server)
    server.until(lambda: len(line.orders) == 3)
    line.gives_place()
    for job in jobs:
        server.runs(job).finishes()
        assert server.ended(job)["state"] == "done"
    server.until(lambda: not line.orders)
    assert len(Worker.living) == 1


def test_a_job_says_what_it_waits_for(served, media):
    server = served()
    (job,) = submit(server, media)
    line = joined(server)
    line.tell(carry(min(line.orders), carrying.WAITS, Sentence("It waits for a place in the cluster.")))
    server.until(lambda: "waits for a place" in sentence_of(server, job))


def test_a_job_that_is_canceled_takes_its_wish_for_a_place_back(served, media):
    server = served()
    (job,) = submit(server, media)
    line = joined(server)
    server.call("cancel", job_id=job)
    server.until(lambda: not line.orders)
    assert server.ended(job)["state"] == "cancelled"


def test_while_no_cluster_answers_jobs_wait_and_it_is_tried_again(served, media):
    server = served()
    (job,) = submit(server, media)
    server.until(lambda: Line.begun)
    Line.now.finds_none()
    server.until(lambda: "No Ray cluster answers at farm:6379" in sentence_of(server, job))
    server.until(lambda: Line.begun == 2)
    line = joined(server)
    line.gives_place()
    server.runs(job).finishes()
    assert server.ended(job)["state"] == "done"


def test_a_job_whose_node_goes_away_goes_on_with_the_next_worker_however_few_there_may_be(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    for count in range(1, 4):
        line.gives_place()
        line.loses(server.runs(job))
        told = f"lost with node {GONE.values['node']}"
        server.until(lambda n=count, told=told: sum(told in each["sentence"] for each in server.told(job)) == n)
        server.until(lambda: line.orders)
    line.gives_place("blade4")
    server.runs(job).finishes()
    assert server.ended(job)["state"] == "done"


def test_a_take_whose_worker_was_lost_before_it_could_say_so_is_not_made_again(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    line.gives_place()
    worker = server.runs(job)
    folder = media / job
    folder.mkdir(parents=True)
    frames = worker.job.plan.take_frames
    for index in range(frames):
        (folder / frame_file(index)).write_bytes(b"a picture")
    size = (worker.job.plan.width, worker.job.plan.height)
    take = Take(str(folder), frame_file(0), MediaFormat.PNG, frames, *size, worker.job.request.frame_rate)
    (folder / SETTINGS_FILE).write_text(json.dumps({"take": to_json(take)}))
    line.loses(worker)
    ended = server.ended(job)
    assert ended["state"] == "done" and ended["take"]["folder"] == str(folder)
    server.until(lambda: not line.orders)


def test_a_worker_whose_turn_is_over_asks_anew_between_two_takes(inside, media, monkeypatch):
    """Others may wait for its place; while it waits itself, nothing of its queue is lost."""
    monkeypatch.setattr(cluster_line, "WorkerProcess", Line)
    monkeypatch.setattr(Line, "begun", 0)
    server = inside(cluster=ClusterWish("farm:6379", 0, turn_seconds=1e-6), workers=1)
    jobs = submit(server, media, 3)
    line = joined(server)
    for job in jobs:
        server.until(lambda: line.orders)
        worker = line.gives_place()
        assert server.runs(job).number == worker.number
        worker.finishes()
        assert server.ended(job)["state"] == "done"
        server.until(lambda worker=worker, last=job == jobs[-1]: last or worker not in Worker.living)


def test_what_a_server_waits_for_comes_behind_others_wishes_when_a_turn_is_over(inside, media, monkeypatch):
    """Else a long queue would be made before the one job of somebody who came a moment later."""
    monkeypatch.setattr(cluster_line, "WorkerProcess", Line)
    monkeypatch.setattr(Line, "begun", 0)
    server = inside(cluster=ClusterWish("farm:6379", 0, turn_seconds=1e-6), workers=3)
    first, *_ = submit(server, media, 5)
    line = joined(server)
    server.until(lambda: len(line.orders) == 3)
    line.gives_place()
    before = set(line.orders)
    server.runs(first).finishes()
    server.until(lambda: len(line.orders) == 3)
    assert not before & set(line.orders)


def test_a_job_that_takes_every_node_with_it_ends(served, media, monkeypatch):
    monkeypatch.setattr(job_runner, "MAX_LOSSES", 2)
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    for _ in range(2):
        server.until(lambda: line.orders)
        line.gives_place()
        line.loses(server.runs(job))
        server.until(lambda: server.worker_of(job) is None)
    ended = server.ended(job)
    assert ended["state"] == "interrupted" and "2 machines went away" in ended["problem"]["sentence"]


def test_a_worker_that_dies_on_a_node_that_lives_is_a_crash_as_elsewhere(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    line.gives_place()
    line.loses(server.runs(job), carrying.DIED, Sentence("was ended by the cluster on node {node}", node="blade3"))
    ended = server.ended(job)
    assert ended["state"] == "failed" and "ended by the cluster on node blade3" in ended["problem"]["sentence"]


def test_a_crash_names_its_node(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    joined(server).gives_place()
    server.runs(job).die(-11)
    assert "node blade3" in server.ended(job)["problem"]["sentence"]


def test_when_the_whole_cluster_goes_away_the_jobs_wait_and_go_on_with_the_next(served, media):
    server = served(workers=2)
    first, second = submit(server, media, 2)
    line = joined(server)
    server.until(lambda: len(line.orders) == 2)
    line.gives_place()
    begun = server.runs(first)
    Worker.living.remove(begun)
    line.ends()
    server.until(lambda: Line.begun == 2)
    assert server.last(first)["state"] == "queued"
    line = joined(server)
    server.until(lambda: len(line.orders) == 2)
    line.gives_place("blade4")
    for job in (first, second):
        server.runs(job).finishes()
        assert server.ended(job)["state"] == "done"


def test_where_no_node_can_have_a_worker_the_job_says_why_and_a_retry_tries_anew(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    why = Sentence("Node {node} of the cluster makes no takes: {why}", node="blade3", why=Sentence("it has no room."))
    (number,) = line.orders
    line.tell(carry(number, carrying.UNFIT, why))
    server.until(lambda: "Node blade3 of the cluster makes no takes" in sentence_of(server, job))
    line.orders.clear()
    server.call("release")
    server.until(lambda: line.orders)
    assert next(iter(line.orders.values()))["anew"]
    line.gives_place()
    server.runs(job).finishes()
    assert server.ended(job)["state"] == "done"


def test_a_worker_without_a_card_makes_no_takes_where_cards_were_asked_for(inside, media, monkeypatch):
    monkeypatch.setattr(cluster_line, "WorkerProcess", Line)
    monkeypatch.setattr(Line, "begun", 0)
    server = inside(cluster=ClusterWish("farm:6379", 1), workers=1, device="auto")
    (job,) = submit(server, media)
    joined(server).gives_place()
    server.until(lambda: "on node blade3 of the cluster finds no graphics card" in sentence_of(server, job))
    assert "--cards 1" in " ".join(Line.now.command)


def test_what_a_worker_refuses_is_said_of_its_node(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    joined(server).gives_place()
    server.runs(job).refuses(Problem(ProblemKind.MODEL_MISSING, Sentence("The model's files are gone.")))
    assert server.ended(job)["problem"]["sentence"] == "On blade3: The model's files are gone."


def test_workers_of_one_node_share_its_memory_and_no_others(served, media):
    server = served(workers=3)
    (job,) = submit(server, media)
    line = joined(server)
    line.gives_place(shared=4)
    assert server.runs(job).job.host_budget_bytes == (64 << 30) // 4
    server.worker_of(job).finishes()
    server.ended(job)


def test_a_worker_out_of_reach_is_not_taken_for_one_that_hangs(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    line.gives_place()
    worker = server.runs(job)
    (seat,) = server.server._seats
    far = seat.life._process
    far.last_message_at -= 100_000
    silent = far.message_at
    line.tell(carry(worker.number, carrying.OUT, True))
    server.until(lambda: far.message_at > silent)
    line.tell(carry(worker.number, carrying.OUT, False))
    server.until(lambda: far.message_at == silent)
    line.tell(carry(worker.number, carrying.SIGNS, [1.5, 700, True]))
    server.until(lambda: far.signs() == Signs(1.5, 700, True))
    worker.finishes()
    server.ended(job)


def test_a_node_that_says_nothing_more_shows_no_wait_for_a_disk(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    joined(server).gives_place()
    server.runs(job)
    (seat,) = server.server._seats
    far = seat.life._process
    far.last_signs = (-100_000.0, Signs(1.5, 700, True))
    assert far.signs() == Signs(1.5, 700, False)


def test_a_line_that_is_too_long_fails_its_own_call(served, media):
    server = served(workers=1)
    (job,) = submit(server, media)
    line = joined(server)
    line.gives_place()
    worker = server.runs(job)
    (seat,) = server.server._seats
    head = b'{"jsonrpc":"2.0","id":1,"result":{"take"'
    line.tell(carry(worker.number, carrying.LONG, head.hex()))
    assert "longer than a message can be" in server.ended(job)["problem"]["sentence"]
    assert seat.life.node == "blade3"


def test_the_order_says_where_the_server_is_and_has_a_mark_that_a_node_can_read(served, media):
    server = served()
    submit(server, media)
    line = joined(server)
    order = next(iter(line.orders.values()))
    assert Path(order["mark"]).read_text() == order["words"] and order["mark"].startswith(order["state"] + os.sep)
    server.server._cluster.close()
    assert not Path(order["mark"]).exists()


def test_lines_are_carried_as_they_are():
    line = b'{"a": " b  c"}'
    carried = carrying.read(carry_line(7, line + b"\n").rstrip(b"\n"))
    assert (carried.worker, carried.word, carried.rest) == (7, carrying.LINE, line)
    told = carrying.read(carry(0, carrying.NO_CLUSTER, GONE).rstrip(b"\n"))
    assert told.sentence == GONE and told.sentence.template == GONE.template


@pytest.mark.parametrize("line", [b"", b"hello there", b"-1 line x", b"1", b"9" * 30 + b" line x", b"\xff\xfe"])
def test_what_is_no_carried_line_is_passed_over(line):
    carried = carrying.read(line)
    assert carried is None or (carried.value is None and not carried.sentence)
    assert not isinstance(carried, OverlongLine)


@pytest.mark.parametrize(
    ("flags", "cluster", "idle"),
    [
        ([], None, 0.0),
        (["--ray", "auto"], ClusterWish("auto", 1, turn_seconds=1800), 300.0),
        (["--ray", "auto", "--device", "cpu"], ClusterWish("auto", 0, turn_seconds=1800), 300.0),
        (
            ["--ray", "farm:6379", "--ray-cards", "2", "--ray-resource", "wan"],
            ClusterWish("farm:6379", 2, "wan", turn_seconds=1800),
            300.0,
        ),
        (["--ray", "auto", "--idle-minutes", "0"], ClusterWish("auto", 1, turn_seconds=1800), 0.0),
        (["--ray", "auto", "--ray-turn-minutes", "0"], ClusterWish("auto", 1), 300.0),
    ],
)
def test_the_flags_say_which_cluster_also_to_a_server_that_stays(flags, cluster, idle, monkeypatch, tmp_path):
    seen: list[serve.Options] = []
    monkeypatch.setattr(serve, "Server", lambda made: seen.append(made) or SimpleNamespace(run=lambda: None))
    monkeypatch.setattr(serve.private_files, "begin", lambda: None)
    given = parser().parse_args(["serve", "--state", str(tmp_path), *flags])
    again = parser().parse_args(["serve", "--state", str(tmp_path), *serve.flags_of(given)])
    assert [serve.main(each) for each in (given, again)] == [0, 0]
    assert [(made.cluster, made.idle_seconds) for made in seen] == [(cluster, idle)] * 2


def test_a_card_of_this_machine_and_a_cluster_are_not_given_together(capsys, tmp_path):
    given = parser().parse_args(["serve", "--state", str(tmp_path), "--ray", "auto", "--card", "0"])
    assert serve.main(given) == serve.CANT_START and "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "65", "two"])
def test_a_worker_has_a_number_of_cards(number, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", "--ray", "auto", "--ray-cards", number])
    assert "is no number of cards" in capsys.readouterr().err
