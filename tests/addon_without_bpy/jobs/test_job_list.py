"""What is known of the jobs: pages, events between them, progress, this side's own; and the order that is kept."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def jobs(addon):
    return addon("jobs.job_list").JobList()


def ids(jobs) -> list[str]:
    return [status.job_id for status in jobs.in_order(lambda status: True)]


def test_pages_come_one_by_one(jobs, make_status) -> None:
    jobs.begin_pages()
    jobs.receive_page([make_status("a", created=9.0), make_status("b", "done", created=8.0)], last=False)
    assert ids(jobs) == ["a", "b"] and jobs.busy
    jobs.receive_page([make_status("c", "done", created=7.0)], last=True)
    assert ids(jobs) == ["a", "b", "c"]


def test_what_an_event_said_is_newer_than_a_page(jobs, make_status) -> None:
    jobs.begin_pages()
    jobs.receive_page([make_status("a")], last=False)
    jobs.receive(make_status("b", "done"))
    jobs.receive_page([make_status("b", "denoising")], last=True)
    assert jobs.get("b").state == "done"
    jobs.begin_pages()
    jobs.receive_page([make_status("b", "denoising")], last=True)
    assert jobs.get("b").state == "denoising", "the next list is newer again"


def test_jobs_that_the_server_no_longer_has_vanish_after_the_last_page_alone(jobs, make_status, make_request) -> None:
    jobs.add_queued("mine", make_request(), "")
    for job_id in "abc":
        jobs.receive(make_status(job_id))
    jobs.begin_pages()
    jobs.receive_page([make_status("a")], last=False)
    assert set(ids(jobs)) == {"a", "b", "c", "mine"}
    jobs.receive(make_status("d"))
    jobs.receive_page([], last=True)
    assert set(ids(jobs)) == {"a", "d", "mine"}


def test_what_was_cleared_does_not_come_back_with_an_older_page(jobs, make_status) -> None:
    jobs.begin_pages()
    jobs.receive_page([make_status("a", "done")], last=False)
    jobs.forget(["a", "b"])
    jobs.receive_page([make_status("b", "done")], last=True)
    assert ids(jobs) == []


def test_progress_goes_into_the_status(jobs, messages, make_status) -> None:
    said = messages.ProgressParams("a", messages.JobState.DENOISING, 3, 8, 0.4, 12.0, "Denoising", "/p.jpg")
    jobs.receive_progress(said)
    assert jobs.get("a") is None
    jobs.receive(make_status("a", created=5.0))
    jobs.receive_progress(said)
    status = jobs.get("a")
    assert (status.state, status.step, status.steps, status.progress) == ("denoising", 3, 8, 0.4)
    assert (status.eta_seconds, status.sentence, status.preview, status.created) == (12.0, "Denoising", "/p.jpg", 5.0)
    jobs.receive(make_status("a", "cancelled"))
    jobs.receive_progress(said)
    assert jobs.get("a").state == "cancelled", "it came too late"


def test_the_same_list_until_something_changes(jobs, messages, make_status) -> None:
    for job_id in "abc":
        jobs.receive(make_status(job_id, "denoising"))
    before = jobs.in_order(lambda status: True)
    assert jobs.in_order(lambda status: True) is before
    jobs.receive_progress(messages.ProgressParams("b", messages.JobState.DENOISING, step=2))
    after = jobs.in_order(lambda status: True)
    assert after is not before
    assert [status.step for status in after] == [0, 2, 0]
    assert [status.step for status in before] == [0, 0, 0]


def test_progress_does_not_sort_anew(jobs, messages, make_status) -> None:
    asked: list[str] = []

    def belongs(status) -> bool:
        asked.append(status.job_id)
        return True

    for n in range(100):
        jobs.receive(make_status(f"{n:03d}", "denoising" if n == 50 else "done", created=float(n)))
    jobs.in_order(belongs)
    assert len(asked) == 99, "what goes on stands first, whichever file it is of"
    jobs.receive_progress(messages.ProgressParams("050", messages.JobState.DENOISING, step=2))
    jobs.receive(make_status("new", "failed", created=200.0))
    assert [status.job_id for status in jobs.in_order(belongs)][:3] == ["050", "new", "099"]
    assert len(asked) == 100
    before = jobs.in_order(belongs)
    jobs.reorder(belongs)
    assert len(asked) == 200 and jobs.in_order(belongs) is before, "all belong where they did"


@pytest.mark.parametrize("count", [5, 300])
def test_jobs_that_come_to_belong_here_go_before_those_of_other_files(jobs, make_status, count: int) -> None:
    for n in range(count):
        jobs.receive(make_status(f"{n:03d}", "done", created=float(n)))
    jobs.receive(make_status("goes on"))
    mine: set[str] = set()

    def belongs(status) -> bool:
        return status.job_id in mine

    def listed() -> list[str]:
        return [status.job_id for status in jobs.in_order(belongs)]

    newest_first = [f"{n:03d}" for n in reversed(range(count))]
    assert listed() == ["goes on", *newest_first]
    mine.add("001")
    jobs.reorder(belongs, ["001", "goes on", "unknown"])
    assert listed() == ["goes on", "001", *(each for each in newest_first if each != "001")]
    mine.clear()
    mine.update(newest_first[1:])
    jobs.reorder(belongs)
    assert listed() == ["goes on", *newest_first[1:], newest_first[0]]


def test_the_order_stays_while_only_progress_is_made(jobs, messages, make_status) -> None:
    for job_id in "abc":
        jobs.receive(make_status(job_id, "denoising"))
    before = jobs.order(lambda status: True)
    jobs.receive_progress(messages.ProgressParams("b", messages.JobState.DENOISING, step=2))
    assert jobs.order(lambda status: True) is before
    jobs.receive_progress(messages.ProgressParams("b", messages.JobState.DECODING, step=8))
    assert jobs.order(lambda status: True) is not before
    before = jobs.order(lambda status: True)
    jobs.forget(["a"])
    assert jobs.order(lambda status: True).ids() == ["b", "c"] != before.ids()


def test_one_change_among_many_jobs_asks_for_none_of_the_others(jobs, make_status, addon, monkeypatch) -> None:
    """What is counted is how many statuses the order is made from: a look at each of 10,000 takes milliseconds."""
    jobs.begin_pages()
    ended = [make_status(f"{n:05d}", "done", created=float(n)) for n in range(1000)]
    jobs.receive_page([*ended, make_status("r", "denoising", created=5000.0)], last=True)
    jobs.order(lambda status: True)
    asked: list[str] = []
    monkeypatch.setattr(jobs, "_server", Noting(jobs._server, asked))
    jobs.receive(make_status("r", "done", created=5000.0))
    jobs.receive(make_status("new", created=6000.0))
    order = jobs.order(lambda status: True)
    assert set(asked) == {"r", "new"}
    shown = addon("jobs.job_list").MAX_ENDED
    assert order.ids()[:2] == ["new", "r"] and len(order.ids()) == shown + 1
    assert (order.ended_count, order.left_out, order.count) == (1001, 1001 - shown, 1002)


class Noting(dict):
    """Notes whose status is asked for."""

    def __init__(self, values, asked: list[str]) -> None:
        super().__init__(values)
        self.asked = asked

    def get(self, key, default=None):
        self.asked.append(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.asked.append(key)
        return super().__getitem__(key)

    def values(self):
        self.asked += self
        return super().values()


def test_settled_jobs_and_done_ones_are_counted_as_they_change(jobs, make_status, make_request) -> None:
    jobs.receive(make_status("a", "done"))
    jobs.receive(make_status("b", "failed"))
    jobs.receive(make_status("c", "done", settled=True))
    assert jobs.pop_done() == {"a", "c"} and jobs.pop_done() == set()
    assert jobs.done_unsettled() == {"a"}
    assert {status.job_id for status in jobs.ended_unsettled()} == {"a", "b"}
    jobs.receive_settled(["a", "nobody's"])
    assert jobs.get("a").settled and jobs.done_unsettled() == set()
    jobs.receive(make_status("a", "queued"))
    assert jobs.busy and jobs.done == {"c"}
    jobs.receive(make_status("a", "done"))
    assert jobs.pop_done() == {"a"} and not jobs.busy


def test_this_sides_job_has_its_request_until_the_server_has_it(jobs, make_status, make_request) -> None:
    request = make_request("rain")
    jobs.add_queued("a", request, "Waiting.")
    assert jobs.request_of("a") is request and jobs.get("a").summary.title == "rain"
    assert not jobs.is_on_server("a")
    jobs.receive(make_status("a"))
    assert jobs.request_of("a") is None and jobs.is_on_server("a")


HAPPENS = {
    "hear": lambda jobs, status, progress, request: jobs.receive(status),
    "progress": lambda jobs, status, progress, request: jobs.receive_progress(progress),
    "forget": lambda jobs, status, progress, request: jobs.forget([status.job_id]),
    "ask": lambda jobs, status, progress, request: jobs.add_queued(status.job_id, request, ""),
    "end": lambda jobs, status, progress, request: jobs.end(status.job_id, type(status.state)("failed")),
    "settled": lambda jobs, status, progress, request: jobs.receive_settled([status.job_id]),
    "page": lambda jobs, status, progress, request: jobs.receive_page([status], last=False),
    "last": lambda jobs, status, progress, request: jobs.receive_page([status], last=True),
    "begin": lambda jobs, *_: jobs.begin_pages(),
    "order": lambda jobs, *_: jobs.reorder(lambda status: status.job_id in "abc"),
}
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(HAPPENS)),
        st.sampled_from("abcdef"),
        st.sampled_from(["queued", "held", "moved", "denoising", "done", "failed"]),
        st.integers(0, 3),
    ),
    max_size=60,
)


def running_order(status) -> tuple:
    if status.state.ended:
        return 3, status.job_id not in "abc", -status.created, status.job_id
    if status.state != "queued":
        return 0, status.turn or status.created * 1e9, status.job_id
    return 1 if status.hold == "none" else 2, status.turn or status.created * 1e9, status.job_id


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_what_is_counted_is_what_is_there(addon, messages, make_status, make_request, events) -> None:
    jobs = addon("jobs.job_list").JobList()
    for kind, job_id, state, number in events:
        status = make_status(job_id, {"held": "queued", "moved": "queued"}.get(state, state), created=float(number))
        if state == "held":
            status = dataclasses.replace(status, hold=messages.Hold.PERSON, turn=number)
        elif state == "moved":
            status = dataclasses.replace(status, turn=5 - number)
        progress = messages.ProgressParams(job_id, messages.JobState.DENOISING, step=number)
        HAPPENS[kind](jobs, status, progress, make_request())
        if number == 3:
            jobs.in_order(lambda status: status.job_id in "abc")
    shown, everything = jobs.in_order(lambda status: status.job_id in "abc"), jobs.all()
    assert sorted(map(dataclasses.astuple, shown)) == sorted(map(dataclasses.astuple, everything))
    assert shown == sorted(everything, key=running_order)
    goes_on = [s for s in everything if not s.state.ended and (s.state != "queued" or s.hold == "none")]
    assert jobs.busy == bool(goes_on), "one that is held goes on until it has stopped"
    assert jobs.unended == {status.job_id for status in everything if not status.state.ended}
    order = jobs.order(lambda status: status.job_id in "abc")
    assert order.ids() == [status.job_id for status in shown]
    assert {job_id for _, _, job_id in order.going_on} == {s.job_id for s in everything if not s.state.ended}
    assert order.held_count == sum(status.state.ended and status.held_elsewhere for status in everything)
    assert (order.count, order.left_out) == (len(everything), 0)
    assert jobs.done == {status.job_id for status in everything if status.state == "done"}
    unsettled = {status.job_id for status in everything if status.state.ended and not status.settled}
    assert {status.job_id for status in jobs.ended_unsettled()} == unsettled
    assert len({status.job_id for status in everything}) == len(everything)


def test_one_bar_for_the_sources_and_the_take(jobs, messages, make_status, make_request) -> None:
    jobs.add_queued("a", make_request(), "Rendering the source.")
    seen = []
    for share in (0.0, 0.5, 0.95):
        jobs.rendered("a", share)
        seen.append(jobs.get("a").progress)
    assert jobs.rendered("a", 0.95) is False
    jobs.receive(make_status("a"))
    seen.append(jobs.get("a").progress)
    for progress in (0.0, 0.2, 0.9):
        jobs.receive_progress(messages.ProgressParams("a", messages.JobState.DENOISING, progress=progress))
        seen.append(jobs.get("a").progress)
    assert seen == sorted(seen) and seen[2] < 0.1 < seen[-1] < 1.0
    jobs.receive(dataclasses.replace(make_status("a", "done"), progress=1.0))
    assert jobs.get("a").progress == 1.0


def test_a_job_that_starts_or_is_moved_is_put_where_it_belongs_alone(jobs, make_status) -> None:
    for n in range(5):
        jobs.receive(dataclasses.replace(make_status(f"w{n}", created=float(n)), turn=n + 1))
        jobs.receive(make_status(f"e{n}", "done", created=float(n)))
    assert ids(jobs) == ["w0", "w1", "w2", "w3", "w4", "e4", "e3", "e2", "e1", "e0"]
    jobs.receive(dataclasses.replace(make_status("w4", created=4.0), turn=0, state=make_status("x", "loading").state))
    jobs.receive(dataclasses.replace(make_status("w3", created=3.0), turn=-1))
    assert ids(jobs)[:4] == ["w4", "w3", "w0", "w1"]


@pytest.fixture
def collector_as_usual() -> Iterator[None]:
    """These tests keep from it what was imported (conftest.py)."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("collector_as_usual")
def test_a_long_list_is_no_young_garbage(jobs, make_status) -> None:
    """The collector would look through each page two or three times, in whatever tick or draw comes next."""
    jobs.begin_pages()
    gc.disable()  # only what a page itself does is looked at
    try:
        jobs.receive_page([make_status(f"{number:032x}", "done") for number in range(100)], last=False)
        young = {id(each) for generation in (0, 1) for each in gc.get_objects(generation=generation)}
    finally:
        gc.enable()
    assert not [status for status in jobs.all() if id(status) in young] and not gc.get_freeze_count()


@pytest.mark.usefixtures("collector_as_usual")
def test_objects_that_are_kept_from_the_collector_stay_so(jobs, make_status) -> None:
    gc.freeze()
    try:
        jobs.begin_pages()
        jobs.receive_page([make_status("a")], last=True)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
