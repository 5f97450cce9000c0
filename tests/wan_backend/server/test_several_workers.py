"""A server with several workers: jobs side by side, and what goes wrong with one worker costs the others nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.server.in_process import InProcess, Worker, inside
from tests.wan_backend.server.served import request
from wan_backend.protocol.messages import Problem, ProblemKind, WorkerState
from wan_backend.protocol.workers import OTHER_CARDS_VARIABLE
from wan_backend.server import cards
from wan_backend.server.worker_life import QUICK_DEATHS

__all__ = ["inside"]
ONE, TWO = "GPU-11111111-aaaa", "GPU-22222222-bbbb"


@pytest.fixture
def three(inside) -> InProcess:
    return inside(workers=3)


@pytest.fixture
def two(inside) -> InProcess:
    return inside(workers=2)


@pytest.fixture
def with_cards(inside, monkeypatch) -> InProcess:
    """A server whose two cards were chosen, and whose workers find them."""
    monkeypatch.setattr(Worker, "device", "cuda (NVIDIA L4)")
    monkeypatch.setattr(cards, "listed", list)
    return inside(device="auto", cards=[ONE, TWO])


def submit(server: InProcess, media: Path, count: int = 1, **changes) -> list[str]:
    return [server.submit(request(media, seed=seed, **changes)) for seed in range(count)]


def end_all(server: InProcess, jobs: list[str]) -> None:
    """Have every job made, whatever worker it is on."""

    def all_made() -> bool:
        for worker in list(Worker.living):
            if worker.job is not None:
                worker.finishes()
        return all(job["state"] == "done" for job in map(server.last, jobs))

    server.until(all_made)


def workers_told(server: InProcess) -> dict[int, dict]:
    """The last that the client was told of each worker."""
    return {m["params"]["number"]: m["params"] for m in server.messages if m.get("method") == "worker"}


def test_three_takes_of_one_request_are_made_side_by_side(three, media):
    jobs = submit(three, media, 4)
    on = [three.runs(job) for job in jobs[:3]]
    assert len({worker.number for worker in on}) == 3
    three.settle()
    assert three.worker_of(jobs[3]) is None and len(Worker.living) == 3
    on[1].finishes()
    assert three.runs(jobs[3]) is on[1]
    assert three.ended(jobs[1])["state"] == "done"
    end_all(three, jobs)


def test_one_job_starts_one_worker_alone(three, media):
    (job,) = submit(three, media)
    three.runs(job).finishes()
    three.ended(job)
    assert len(Worker.living) == 1 and len(workers_told(three)) == 3


def test_a_job_goes_where_its_model_is_warm(two, media, monkeypatch):
    first, second = submit(two, media, 2)
    on = [two.runs(first), two.runs(second)]
    seats = list(two.server._seats)
    for worker, job in zip(on, (first, second), strict=True):
        worker.finishes()
        two.ended(job)
    seats[0].holds("another")
    (third,) = submit(two, media)
    assert two.runs(third) is on[1]
    on[1].finishes()
    two.ended(third)
    seats[0].holds("embedded")
    seats[1].holds("another")
    (fourth,) = submit(two, media)
    assert two.runs(fourth) is on[0]


def test_a_worker_that_has_nothing_is_started_before_a_warm_model_has_to_go(two, media):
    (first,) = submit(two, media)
    warm = two.runs(first)
    warm.finishes()
    two.ended(first)
    next(iter(two.server._seats)).holds("another")
    (second,) = submit(two, media)
    assert two.runs(second) is not warm and len(Worker.living) == 2


def test_a_job_whose_worker_dies_goes_on_with_another_one_and_is_ahead_of_those_that_wait(two, media):
    first, second, third = submit(two, media, 3)
    dying, other = two.runs(first), two.runs(second)
    dying.die(-9)
    two.until(lambda: [job for job in two.told(first) if job["state"] == "queued"][1:])
    assert "another one goes on" in two.told(first)[-1]["sentence"]
    third_on = two.runs(third)
    assert third_on not in (dying, other), "its place goes on with others"
    other.finishes()
    assert two.runs(first) is other
    end_all(two, [first, second, third])
    assert [job["state"] for job in two.told(first)].count("failed") == 0


def test_a_job_at_which_two_workers_died_fails_with_what_the_last_one_said(three, media):
    (job,) = submit(three, media)
    first = three.runs(job)
    first.die(-11)
    three.until(lambda: three.worker_of(job) not in (None, first))
    three.worker_of(job).die(-11)
    ended = three.ended(job)
    assert ended["state"] == "failed" and ended["problem"]["kind"] == "worker_died"
    assert "retry the job" in ended["problem"]["sentence"]
    three.call("retry", job_id=job)
    three.runs(job).finishes()
    three.until(lambda: three.told(job)[-1]["state"] == "done")


def test_with_one_worker_a_death_ends_the_job_as_before(inside, media):
    server = inside()
    (job,) = submit(server, media)
    server.runs(job).die(-9)
    assert server.ended(job)["state"] == "failed"


def test_after_three_quick_deaths_the_others_make_the_takes(two, media):
    broken, other = two.server._seats
    deaths = 0
    while not broken.is_broken:
        other.holds("another")  # so that the next job comes here
        broken.holds("embedded")
        (job,) = submit(two, media)
        two.runs(job)
        if broken.life.busy_with == job:
            two.worker_of(job).die(-9)
            deaths += 1
            two.until(lambda: other.life.busy_with == job)  # noqa: B023
        else:
            broken.life.want()
        end_all(two, [job])
    assert deaths == QUICK_DEATHS and workers_told(two)[0]["state"] == WorkerState.BROKEN
    end_all(two, submit(two, media, 2))
    two.call("release")
    assert not broken.is_broken, "a person's wish has it tried again"


def test_one_of_two_jobs_is_canceled(two, media):
    first, second = submit(two, media, 2)
    two.runs(first), two.runs(second)
    two.call("cancel", job_id=second)
    assert two.ended(second)["state"] == "cancelled"
    assert two.worker_of(first) is not None
    end_all(two, [first])


def test_one_of_two_jobs_is_held_and_the_next_one_takes_its_worker(two, media):
    first, second, third = submit(two, media, 3)
    on = two.runs(first)
    two.runs(second)
    two.call("hold", job_id=first, hold="person")
    assert two.runs(third) is on
    assert two.call("resume", job_id=first)["hold"] == "none"
    end_all(two, [first, second, third])


def test_a_pause_stops_all_and_they_are_the_first_to_go_on(two, media):
    jobs = submit(two, media, 3)
    two.runs(jobs[0]), two.runs(jobs[1])
    two.call("pause", paused=True)
    two.until(lambda: not any(worker.job for worker in Worker.living))
    two.settle()
    states = {job["job_id"]: job["state"] for job in two.call("list")["jobs"]}
    assert set(states.values()) == {"queued"}
    two.call("pause", paused=False)
    two.runs(jobs[0]), two.runs(jobs[1])
    assert two.worker_of(jobs[2]) is None
    end_all(two, jobs)


@pytest.mark.parametrize(("goes_on", "state"), [(True, "queued"), (False, "interrupted")])
def test_when_the_server_leaves_all_its_jobs_are_kept(two, inside, media, goes_on, state):
    jobs = submit(two, media, 2)
    for job in jobs:
        two.runs(job)
    two.leave(goes_on)
    assert not Worker.living
    after = inside(paused=True)
    assert {job["state"] for job in after.call("list")["jobs"]} == {state}


def test_each_idle_worker_is_released_in_its_time(inside, media):
    server = inside(workers=2, idle_seconds=3600.0)
    first, second = submit(server, media, 2)
    idle, busy = server.runs(first), server.runs(second)
    idle.finishes()
    server.ended(first)
    place = next(seat for seat in server.server._seats if not seat.life.busy_with)
    place.life._idle_since -= 4000.0
    server.until(lambda: idle not in Worker.living)
    assert busy in Worker.living
    end_all(server, [second])


def test_release_ends_the_idle_ones_and_tells_of_all(two, media):
    first, second = submit(two, media, 2)
    idle, busy = two.runs(first), two.runs(second)
    idle.finishes()
    two.ended(first)
    states = {each["number"]: each["state"] for each in two.call("release")["workers"]}
    assert sorted(states.values()) == ["busy", "none"]
    assert idle not in Worker.living and busy in Worker.living
    end_all(two, [second])


def test_the_plan_of_the_panel_is_got_ready_where_the_next_job_goes(two, media):
    (first,) = submit(two, media)
    busy = two.runs(first)
    two.call("warm", request=request(media))
    two.until(lambda: any(worker.warm_ups for worker in Worker.living))
    (warming,) = (worker for worker in Worker.living if worker.warm_ups)
    assert warming is not busy
    warming.warms_up()
    (second,) = submit(two, media)
    assert two.runs(second) is warming


def test_a_look_is_made_beside_the_jobs_and_makes_way_where_one_comes(two, media):
    (first,) = submit(two, media)
    busy = two.runs(first)
    call = two.send("look", request=request(media, "a look"), anew=True)
    two.until(lambda: any(worker.looks for worker in Worker.living))
    (looking,) = (worker for worker in Worker.living if worker.looks)
    assert looking is not busy
    (second,) = submit(two, media)
    assert two.runs(second) is looking and looking.made_way == 1
    assert two.answer(call)["error"]["data"]["kind"] == "busy"
    call = two.send("look", request=request(media, "a look"), anew=True)
    assert two.answer(call)["error"]["data"]["kind"] == "busy", "all are at work"
    busy.finishes()
    two.ended(first)
    two.send("look", request=request(media, "a look"), anew=True)
    two.until(lambda: busy.looks)
    works = {worker.looks[-1].job.work_folder for worker in (busy, looking)}
    assert len(works) == 2, "the one that makes way may still write"
    busy.sees()
    end_all(two, [second])


def test_each_worker_may_have_its_part_of_the_machines_memory(inside, media):
    alone = inside()
    (job,) = submit(alone, media)
    worker = alone.runs(job)
    assert worker.job.host_budget_bytes is None
    end_all(alone, [job])
    alone.leave()
    server = inside(workers=4)
    (job,) = submit(server, media)
    assert server.runs(job).job.host_budget_bytes == (64 << 30) // 4
    assert server.server._seats.machine.host_bytes == (64 << 30) // 4
    end_all(server, [job])


def test_each_chosen_card_has_a_worker_that_sees_no_other(with_cards, media):
    jobs = submit(with_cards, media, 3)
    seen = {with_cards.runs(job).around[cards.VISIBLE] for job in jobs[:2]}
    assert seen == {ONE, TWO} and with_cards.worker_of(jobs[2]) is None
    assert {each["card"] for each in workers_told(with_cards).values()} == {ONE, TWO}
    end_all(with_cards, jobs)


def test_two_cards_for_a_take_have_one_worker_and_each_half_of_its_part_of_the_memory(inside, media, monkeypatch):
    monkeypatch.setattr(Worker, "device", "cuda (NVIDIA L4)")
    monkeypatch.setattr(cards, "listed", list)
    server = inside(device="auto", cards=[ONE, TWO], cards_per_take=2)
    jobs = submit(server, media, 2, guidance_scale=4.0)
    worker = server.runs(jobs[0])
    assert (worker.around[cards.VISIBLE], worker.around[OTHER_CARDS_VARIABLE]) == (ONE, TWO)
    assert worker.job.plan.cards == 2 and worker.job.host_budget_bytes == (64 << 30) // 2
    assert server.worker_of(jobs[1]) is None, "the second card has no worker of its own"
    alone = server.call("plan", request=request(media, guidance_scale=1.0))
    assert (alone["cards"], alone["cards_per_forward"]) == (2, 2)
    end_all(server, jobs)


def test_a_card_that_is_not_there_makes_no_take_on_the_processor(inside, media, monkeypatch):
    monkeypatch.setattr(cards, "listed", list)
    server = inside(device="auto", cards=[ONE])
    server.until(lambda: workers_told(server).get(0, {}).get("state") == "broken")
    (job,) = submit(server, media)
    server.until(lambda: "finds no graphics card" in server.call("list")["jobs"][0]["sentence"])
    assert ONE in server.call("list")["jobs"][0]["sentence"]
    server.call("cancel", job_id=job)


def test_a_backend_for_processors_makes_takes_there_though_the_machine_has_cards(inside, media, monkeypatch):
    monkeypatch.setattr(cards, "can_be_listed", lambda: True)
    monkeypatch.setattr(cards, "listed", lambda: cards.named([ONE, TWO]))
    monkeypatch.delenv(cards.VISIBLE, raising=False)
    server = inside(device="auto")
    jobs = submit(server, media, 2)
    server.runs(jobs[0])
    server.settle()
    assert server.worker_of(jobs[1]) is None, "one worker, as without cards"
    end_all(server, jobs)


def test_what_is_too_large_for_one_card_goes_to_a_larger_one(with_cards, media):
    (job,) = submit(with_cards, media)
    small = with_cards.runs(job)
    place, other = list(with_cards.server._seats)
    other.watch._card = place.watch._card.__class__("cuda (NVIDIA H200)", 140 << 30, 140 << 30, 64 << 30)
    small.refuses(Problem(ProblemKind.OUT_OF_MEMORY, "The card ran out of memory."))
    with_cards.until(lambda: other.life.busy_with == job)
    with_cards.worker_of(job).refuses(Problem(ProblemKind.OUT_OF_MEMORY, "The card ran out of memory."))
    assert with_cards.ended(job)["problem"]["kind"] == "out_of_memory"
