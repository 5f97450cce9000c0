"""`calibrate --cards-per-take`: takes are made in each way in which cards can share them, until all are measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from wan_backend.catalogue import entries
from wan_backend.command_line import arguments, calibrate, calibrate_cards
from wan_backend.memory.forecast import Machine
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.planning import plan_steps, several_cards
from wan_backend.planning.draft import Draft, Inventory
from wan_backend.planning.measured_ways import MIN_TAKES, ONE, Kind, MeasuredWays, Shape, Way
from wan_backend.protocol.media import MEASURED_WAYS_FILE
from wan_backend.protocol.messages import Plan, Quality, SteadySteps, StepCache, TakeRequest, Task
from wan_backend.worker import steady_steps

HALVES, TOKENS = Way(2, 1), Way(2, 2)
SECONDS = {ONE: 1.0, HALVES: 1.1, TOKENS: 0.8}
CARD = "cuda (a card)"
WHOLE = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)


def requests(room: Path, *flags: str) -> list[TakeRequest]:
    options = arguments.parser().parse_args(["calibrate", *flags, "--cards-per-take", "2", "--state", str(room)])
    return list(calibrate_cards.build_requests(options, entries.entry(options.model), room))


def test_a_few_steps_at_full_length_that_skip_nothing(tmp_path):
    (made,) = requests(tmp_path, "wan2.1-t2v-14b")
    assert (made.steps, made.length_frames, made.quality) == (calibrate_cards.STEPS, 81, Quality.STANDARD)
    assert made.step_cache is StepCache.OFF and made.task is Task.TEXT_TO_VIDEO
    flags = ("--steps", "4", "--frames", "17", "--size", "128x96", "--quality", "draft")
    (made,) = requests(tmp_path, "embedded", *flags)
    assert (made.steps, made.length_frames, made.width, made.quality) == (4, 17, 128, Quality.DRAFT)
    assert len(requests(tmp_path, "wan2.1-vace-1.3b")) == 2, "the control costs time of its own"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["bernini-r-1.3b"], "isn't shared"),
        (["wan2.1-fun-camera-1.3b"], "scene strips alone"),
        (["embedded", "--quality", "draft", "--quality", "best"], "give one --quality"),
        (["embedded", "--steps", "2"], "give --steps 3 or more"),
        (["wan2.2-t2v-a14b", "--steps", "3"], "give --steps 4 or more"),
        (["embedded", "--steps", "0"], "give --steps 3 or more"),
    ],
)
def test_what_can_not_be_compared_is_refused(tmp_path, capsys, flags, words):
    code = arguments.run(["calibrate", *flags, "--cards-per-take", "2", "--state", str(tmp_path)])
    assert code == calibrate.REFUSED and words in capsys.readouterr().err


class Server:
    """Plans as a server that tries all ways, whose worker measures each take but those at which a card is late."""

    def __init__(self, state: Path, monkeypatch, late=(), cards: int = 2) -> None:
        self.ways = MeasuredWays(state / MEASURED_WAYS_FILE)
        self.late, self.cards, self.made = late, cards, []
        monkeypatch.setattr(calibrate, "make_take", self.make_take)
        monkeypatch.setattr(calibrate_cards, "WRITTEN_SECONDS", 0.0)

    def plan(self, request: TakeRequest) -> Plan:
        entry = entries.entry(request.model)
        machine = Machine("cuda", 1 << 40, 1 << 40, cards=self.cards, card=CARD)
        inventory = Inventory(machine=machine, ways=self.ways, tries_ways=True)
        draft = Draft(request, entry, plan_steps.plan(request, entry), [], inventory)
        return several_cards.settle_cards(draft, lambda _shares: WHOLE).plan

    def make_take(self, _server, request):
        plan = self.plan(request)
        self.made.append(plan)
        way = Way(plan.cards, plan.cards_per_forward)
        if len(self.made) not in self.late:
            self.ways.record(plan, CARD, SteadySteps(SECONDS[way], 1.0, controlled=True))
        return 0, SimpleNamespace(job_id=str(len(self.made) - 1))

    def call(self, method, params):
        if method == "details":
            return SimpleNamespace(plan=self.made[int(params.job_id)])
        return self.plan(params.request)


@pytest.fixture
def request_(tmp_path, monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "linux")
    return requests(tmp_path, "embedded")


def test_takes_are_made_until_each_way_is_measured_as_often_as_counts(tmp_path, monkeypatch, capsys, request_):
    server = Server(tmp_path, monkeypatch, late=(1, 4))
    assert calibrate_cards.make_all(server, request_, tmp_path) == 0
    assert len(server.made) == 3 * MIN_TAKES + 2
    kind = Kind.of(server.made[0], CARD, True)
    assert server.ways.takes(kind, Shape.of(server.made[0])) == dict.fromkeys(SECONDS, MIN_TAKES)
    said = capsys.readouterr().err
    assert "2 cards, halves of guidance: not measured, as the other cards came late" in said
    assert said.endswith(
        "2 cards, halves of guidance: a step takes 1.100 s\n"
        "2 cards, shares of the tokens: a step takes 1.600 s\n"
        "One card: a step takes 2.000 s\n"
    )


def test_of_as_many_steps_a_worker_says_something():
    assert calibrate_cards.COUNTED_STEPS == steady_steps.MIN_STEPS


def test_where_takes_have_one_card_there_is_nothing_to_compare(tmp_path, monkeypatch, capsys, request_):
    server = Server(tmp_path, monkeypatch, cards=1)
    assert calibrate_cards.make_all(server, request_, tmp_path) == calibrate.REFUSED
    assert "nothing to compare" in capsys.readouterr().err and len(server.made) == 1


def test_cards_that_never_come_to_compute_together_are_given_up(tmp_path, monkeypatch, capsys, request_):
    monkeypatch.setattr(calibrate_cards, "IN_VAIN_SECONDS", -1.0)
    server = Server(tmp_path, monkeypatch, late=range(100))
    assert calibrate_cards.make_all(server, request_, tmp_path) == calibrate.FAILED
    assert "don't come to compute together" in capsys.readouterr().err
    assert len(server.made) == calibrate_cards.IN_VAIN_TAKES


def test_ways_have_names():
    ways = [Way(4, 2), Way(4, 4), Way(4, 4, True), Way(4, 2, True)]
    assert [calibrate_cards.in_words(way) for way in ways] == [
        "4 cards, halves of guidance, each on 2",
        "4 cards, shares of the tokens",
        "4 cards, shares of the tokens, and shares of the weights",
        "4 cards, halves of guidance, each on 2, and shares of the weights",
    ]


@pytest.mark.long
def test_what_two_processes_take_is_kept_for_the_next_plan(tmp_path, capsys):
    state, flags = tmp_path / "state", ["--steps", "4", "--frames", "5", "--size", "96x64", "--device", "cpu"]
    code = arguments.run(["calibrate", "embedded", "--cards-per-take", "2", "--state", str(state), *flags])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out.strip() == str(state / MEASURED_WAYS_FILE)
    known = MeasuredWays(state / MEASURED_WAYS_FILE)
    assert set(known.of_all_shapes(True)) == {ONE, HALVES, TOKENS} and known.count() == 3
    (request,) = requests(tmp_path, "embedded", *flags[:-2])
    entry = entries.entry("embedded")
    inventory = Inventory(machine=Machine("cpu", 1 << 40, 1 << 40, cards=2, card="cpu"), ways=known)
    draft = Draft(request, entry, plan_steps.plan(request, entry), [], inventory)
    assert several_cards.UNMEASURED not in several_cards.settle_cards(draft, lambda _shares: WHOLE).plan.notes
