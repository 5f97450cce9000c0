"""What is asked of the server because a panel shows it, is asked once: plans, thumbnails and details."""

from __future__ import annotations

import dataclasses

import pytest


class Client:
    """Remembers what it is asked; answers when the test says so."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params, answered, failed) -> None:
        self.calls.append((params, answered, failed))


@pytest.fixture
def module(addon, monkeypatch):
    module = addon("jobs.server_queries")
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    return module


@pytest.fixture
def plans(module):
    return module.PlanQuery(lambda: None)


@pytest.fixture
def thumbnails(module):
    return module.ThumbnailQuery(lambda: None)


@pytest.fixture
def details(module):
    return module.DetailsQuery(lambda: None)


@pytest.fixture
def plan(messages):
    return messages.Plan("embedded", 1, 1, 5, messages.FrameRate(16), 9, 4, 1.0, 1.0, messages.Sampler.EULER)


@pytest.fixture
def request_of(messages, tmp_path):
    def make(names: list[str], **more):
        source = messages.Source(messages.Role.FOOTAGE, str(tmp_path), names, frames=len(names), **more)
        rate = messages.FrameRate(24)
        return messages.TakeRequest("fog", "embedded", 64, 36, 9, rate, 7, "/tmp/wan", sources=[source])

    return make


def test_a_plan_is_that_of_its_request(plans, plan, messages, make_request) -> None:
    request, client = make_request(), Client()
    plans.want(request)
    assert plans.plan_of(request) is None
    plans.tick(client)
    client.calls[0][1](plan)
    assert plans.plan_of(dataclasses.replace(request, seed=8)) is plan
    other = dataclasses.replace(request, task=messages.Task.RESTYLE)
    assert plans.plan_of(other) is None
    plans.want(other)
    assert plans.plan is plan, "the last one stays in sight until the next is there"
    assert plans.plan_of(other) is None


def test_a_late_answer_is_not_taken_for_what_is_wanted_now(plans, plan, make_request) -> None:
    client = Client()
    for prompt in ("fog", "rain"):
        plans.want(make_request(prompt))
        plans.tick(client)
    client.calls[0][1](plan)
    assert plans.plan is None
    client.calls[1][1](plan)
    assert plans.plan_of(make_request("rain")) is plan


def test_slow_plans_do_not_pile_up(plans, plan, make_request) -> None:
    client = Client()
    for n in range(20):
        plans.want(make_request(f"fog {n}"))
        plans.tick(client)
    assert len(client.calls) == 3
    for _, answered, _ in client.calls[:3]:
        answered(plan)
    plans.tick(client)
    assert client.calls[3][0].request.prompt == "fog 19"


def test_a_refused_plan_is_a_sentence_and_a_lost_server_is_none(plans, errors, make_request) -> None:
    client = Client()
    plans.want(make_request())
    plans.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.GONE, "The backend ended."))
    assert plans.sentence == ""
    plans.tick(client)
    assert len(client.calls) == 2, "the next server is asked"
    client.calls[1][2](errors.ProtocolError(errors.LINE_TOO_LONG, "This is too much for one message."))
    assert plans.sentence == "This is too much for one message."
    plans.tick(client)
    assert len(client.calls) == 2


class WarmableClient(Client):
    """Keeps what is to be warmed up apart from what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.warmed: list = []

    def call(self, method, params, answered=None, failed=None) -> None:
        if method == "warm":
            self.warmed.append(params)
        else:
            super().call(method, params, answered, failed)


def test_the_model_of_the_shown_plan_is_warmed_up_where_that_is_wished(module, plan, make_request) -> None:
    client, wished = WarmableClient(), [True]
    plans = module.PlanQuery(lambda: None, lambda: wished[0])
    plans.want(make_request("fog"))
    plans.tick(client)
    assert client.warmed == [], "not before it is known what the model can do here"
    client.calls[0][1](plan)
    (first,) = client.warmed
    assert first.request.prompt == "fog" and not first.read_prompt, "it may still be written"
    plans.want(make_request("rain"))
    plans.tick(client)
    plans.want(make_request("snow"))
    plans.tick(client)
    client.calls[1][1](plan)
    assert len(client.warmed) == 1, "nobody looks at that one any more"
    wished[0] = False
    client.calls[2][1](plan)
    assert len(client.warmed) == 1


def test_thumbnails_are_asked_for_once(thumbnails, messages, request_of, tmp_path) -> None:
    names = [f"{index}.png" for index in range(200)]
    for name in (names[0], names[-1]):
        (tmp_path / name).touch()
    request, client = request_of(names), Client()
    assert thumbnails.of(request) == []
    thumbnails.tick(client)
    thumbnails.of(request)
    thumbnails.tick(client)
    ((params, answered, _),) = client.calls
    assert params.sources[0].files == ["0.png", "199.png"] and params.sources[0].frames == 2
    picture = messages.Thumbnail(messages.Role.FOOTAGE, "a.jpg")
    answered(messages.ThumbnailsResult([picture]))
    assert thumbnails.of(dataclasses.replace(request, seed=8, prompt="rain")) == [picture]
    thumbnails.tick(client)
    assert len(client.calls) == 1


def test_what_is_still_to_be_rendered_is_asked_for_when_it_is_there(thumbnails, request_of, tmp_path) -> None:
    request, client = request_of(["a.png"], rendered=True), Client()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert client.calls == []
    (tmp_path / "a.png").touch()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert len(client.calls) == 1


def test_refused_thumbnails_are_none_and_a_lost_server_is_asked_anew(thumbnails, errors, request_of, tmp_path) -> None:
    (tmp_path / "a.png").touch()
    request, client = request_of(["a.png"]), Client()
    thumbnails.of(request)
    thumbnails.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.REFUSED, "No."))
    assert thumbnails.of(request) == []
    thumbnails.tick(client)
    assert len(client.calls) == 1, "refused once is enough"
    thumbnails.forget()
    thumbnails.of(request)
    thumbnails.tick(client)
    assert len(client.calls) == 2


def test_a_file_that_cant_be_used_is_told_to_the_plan_and_looked_at_again(
    module, messages, request_of, tmp_path, monkeypatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    (tmp_path / "a.png").write_bytes(b"damaged")
    told: list[bool] = []
    thumbnails = module.ThumbnailQuery(lambda: None, lambda: told.append(True))
    request, client = request_of(["a.png"]), Client()

    def drawn() -> int:
        thumbnails.of(request)
        thumbnails.tick(client)
        return len(client.calls)

    assert drawn() == 1
    problem = messages.Problem(messages.ProblemKind.BAD_SOURCE, "a.png is damaged.")
    answer = messages.ThumbnailsResult([], [messages.SourceProblem(messages.Role.FOOTAGE, "a.png", problem)])
    client.calls[0][1](answer)
    assert told and drawn() == 1
    now[0] += 2 * module.LOOK_AGAIN_SECONDS
    assert drawn() == 2
    client.calls[1][1](messages.ThumbnailsResult([messages.Thumbnail(messages.Role.FOOTAGE, "a.jpg")]))
    now[0] += 2 * module.LOOK_AGAIN_SECONDS
    assert drawn() == 2 and len(told) == 1, "a whole one is not looked at again"


def test_a_plan_that_a_file_stands_against_is_asked_for_again_when_it_is_drawn(
    module, plans, plan, messages, make_request, monkeypatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    client = Client()

    def drawn() -> int:
        plans.want(make_request())
        plans.tick(client)
        return len(client.calls)

    def refused(kind: str):
        return dataclasses.replace(plan, problem=messages.Problem(messages.ProblemKind(kind), "No."))

    assert drawn() == 1
    client.calls[0][1](refused("bad_source"))
    assert drawn() == 1
    now[0] += 2 * module.LOOK_AGAIN_SECONDS
    plans.tick(client)
    assert len(client.calls) == 1, "nobody looks"
    assert drawn() == 2
    assert plans.plan is not None, "the last one stays in sight"
    client.calls[1][1](refused("bad_prompt"))
    now[0] += 2 * module.LOOK_AGAIN_SECONDS
    assert drawn() == 2, "that changes by what is asked alone"


def test_without_sources_nothing_is_asked(thumbnails, request_of) -> None:
    client = Client()
    assert thumbnails.of(dataclasses.replace(request_of([]), sources=[])) == []
    thumbnails.tick(client)
    assert client.calls == []


def test_a_search_is_asked_for_once_for_each_text_and_number_of_jobs(module, messages, errors) -> None:
    changed: list[bool] = []
    search, client = module.SearchQuery(lambda: changed.append(True)), Client()

    def asked(text: str, jobs: int = 10) -> list[str]:
        search.want(text, jobs)
        search.tick(client)
        return [params.text for params, *_ in client.calls]

    assert asked("") == [] and not search.waits("")
    assert asked("fog") == ["fog"] and search.waits("fog")
    assert asked("fog in") == ["fog"], "one after another"
    client.calls[0][1](messages.SearchResult(["a"]))
    assert search.found("fog") == {"a"} and search.found("fog in") == frozenset()
    assert asked("fog in") == ["fog", "fog in"]
    client.calls[1][2](errors.ProtocolError(errors.GONE, "The backend ended."))
    assert asked("fog in") == ["fog", "fog in", "fog in"], "the next server is asked"
    client.calls[2][1](messages.SearchResult(["b"]))
    assert search.found("fog in") == {"b"} and not search.waits("fog in") and changed
    assert len(asked("fog in")) == 3
    assert len(asked("fog in", 11)) == 4, "a job came"
    assert search.found("fog in") == {"b"}, "meanwhile it is shown as it was"


def test_details_are_asked_for_once(details, messages, make_request, plan) -> None:
    client, told = Client(), []
    for _ in range(3):
        details.want("a")
        details.tick(client)
    details.want("a", told.append)
    details.tick(client)
    ((params, answered, _),) = client.calls
    request = make_request()
    answered(messages.JobDetails(params.job_id, request, plan))
    assert details.request_of("a") is request and details.plan_of("a") is plan and told == [request]
    details.want("a")
    details.tick(client)
    assert len(client.calls) == 1


def test_a_few_at_a_time_and_few_are_kept(details, messages, make_request) -> None:
    client = Client()
    for n in range(500):
        details.want(str(n))
    seen = 0
    while seen < 500:
        details.tick(client)
        assert 0 < len(client.calls) <= 4
        calls, client.calls = client.calls, []
        for params, answered, _ in calls:
            answered(messages.JobDetails(params.job_id, make_request()))
        seen += len(calls)
    assert [details.request_of(str(n)) is None for n in (0, 299, 300, 499)] == [True, True, False, False]


def test_nobody_knows(details, errors) -> None:
    client, told = Client(), []
    details.want("a", told.append)
    details.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.NO_SUCH_JOB, "No."))
    assert told == [None]
    details.want("a")
    details.tick(client)
    assert len(client.calls) == 1, "a draw asks again and again"
    details.want("b", told.append)
    details.give_up()
    assert told == [None, None]


def test_the_next_server_is_asked(details, errors, messages, make_request) -> None:
    client, told = Client(), []
    details.want("a", told.append)
    details.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.GONE, "It ended."))
    details.server_gone()
    details.tick(client)
    client.calls[1][1](messages.JobDetails("a", make_request("rain")))
    assert [request.prompt for request in told] == ["rain"]


def test_what_was_not_planned_yet_is_asked_for_again_once_the_job_changed(
    details, messages, make_request, plan
) -> None:
    client = Client()
    details.want("a")
    details.tick(client)
    client.calls[0][1](messages.JobDetails("a", make_request()))
    details.job_changed("a")
    assert details.request_of("a") is not None
    details.want("a")
    details.tick(client)
    client.calls[1][1](messages.JobDetails("a", make_request(), plan))
    details.job_changed("a")
    assert details.plan_of("a") is plan
