"""What the panel shows is looked at once editing pauses, one look at a time, and never while takes are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest


@dataclass(frozen=True)
class Take:
    """As the add-on plans one."""

    request: Any
    target: Any = None


class Client:
    """Keeps what is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []
        self.ends = 0

    def call(self, method, params, answered=None, failed=None) -> None:
        assert method == "look"
        if params.request is None:
            self.ends += 1
        else:
            self.calls.append((params, answered, failed))


class Desk:
    """A person at the panel, with a clock of their own."""

    def __init__(self, module, looks, errors, make_request) -> None:
        self.now, self.rests, self.found = 100.0, "", None
        self.looks, self.errors, self.make_request = looks, errors, make_request
        self.client, self.changes = Client(), 0
        self.live = module.Live(self.sources, self.changed, lambda: self.now)
        self.live.turn(True)

    def sources(self, take):
        return self.found or take.request

    def changed(self) -> None:
        self.changes += 1

    def type(self, prompt: str, **more) -> None:
        """The panel is drawn with these words."""
        self.live.show(Take(self.make_request(prompt, **more)))

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.live.tick(self.client, self.rests)

    @property
    def asked(self) -> list[str]:
        return [params.request.prompt for params, _, _ in self.client.calls]

    def answer(self, after: float, whole: bool = True) -> Any:
        """The newest question is answered after so long."""
        self.after(after)
        params, answered, _ = self.client.calls[-1]
        seen = self.looks.LookResult(replace(params.request, least_size=True), ["/1.rgba"], after, whole)
        answered(seen)
        return seen

    def refuse(self, kind: str, words: str = "No.") -> None:
        self.client.calls[-1][2](self.errors.ProtocolError(self.errors.REFUSED, words, {"kind": kind}))


@pytest.fixture
def module(addon):
    return addon("jobs.live")


@pytest.fixture
def desk(module, errors, make_request):
    import importlib

    looks = importlib.import_module("wan_vse.wan_backend.protocol.looks")
    return Desk(module, looks, errors, make_request)


def test_off_it_asks_for_nothing(desk) -> None:
    desk.live.turn(False)
    desk.type("fog")
    desk.after(10.0)
    assert desk.asked == [] and desk.client.ends == 0 and not desk.live.busy


def test_the_first_look_waits_for_a_pause_and_is_a_draft_with_a_seed_of_its_own(desk, messages) -> None:
    desk.type("f", quality=messages.Quality.BEST)
    desk.after(0.2)
    desk.type("fog", quality=messages.Quality.BEST)
    desk.after(0.2)
    assert desk.asked == [] and desk.live.busy, "nobody knows yet how long it takes"
    desk.after(0.1)
    assert desk.asked == ["fog"]
    first = desk.client.calls[0][0]
    assert first.request.quality == "draft" and first.anew
    desk.answer(0.5)
    desk.type("fog and rain")
    desk.after(0.0)
    second = desk.client.calls[1][0]
    assert second.request.seed == first.request.seed and not second.anew


def test_quick_looks_follow_every_edit_and_each_is_shown_before_the_next(desk, module) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.answer(module.QUICK_SECONDS)
    desk.type("fog,")
    desk.after(0.0)
    desk.type("fog, r")
    desk.after(0.1)
    assert desk.asked == ["fog", "fog,"]
    desk.answer(0.1)
    desk.after(0.0)
    assert desk.asked == ["fog", "fog,", "fog, r"] and desk.client.ends == 0


def test_slow_looks_wait_for_a_pause_but_never_longer_than_three_seconds(desk, module) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.answer(module.QUICK_SECONDS + 1)
    for number in range(29):
        desk.type(f"fog {number}")
        desk.after(0.1)
    assert desk.asked == ["fog"]
    desk.type("fog 29")
    desk.after(0.2)
    assert desk.asked == ["fog", "fog 29"]


def test_the_newest_words_replace_a_slow_look_that_is_being_made(desk, module) -> None:
    desk.type("fog")
    desk.after(0.3)
    old = desk.client.calls[0]
    desk.type("rain")
    desk.after(0.3)
    assert desk.asked == ["fog", "rain"]
    old[2](desk.errors.ProtocolError(desk.errors.REFUSED, "Canceled.", {"kind": "cancelled"}))
    assert desk.live.is_looking, "that was of the one before"
    seen = desk.answer(4.0)
    assert desk.live.seen is seen and desk.live.is_of_shown


def test_what_was_answered_is_not_asked_for_again_wherever_the_playhead_goes(desk, messages) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.answer(0.5)
    for start in (1, 50, 90):
        desk.type("fog", origin=messages.Origin(start=start), media_folder="/elsewhere", resolution="480p")
        desk.after(1.0)
    assert desk.asked == ["fog"] and desk.live.is_of_shown and not desk.live.busy


@pytest.mark.parametrize("words", ["Live rests while takes are made.", "Live rests while the film plays."])
def test_it_makes_way_at_once_and_goes_on_afterwards(desk, words) -> None:
    desk.type("fog")
    desk.after(0.3)
    assert desk.live.is_looking
    desk.rests = words
    desk.after(0.05)
    assert not desk.live.is_looking and desk.client.ends == 1 and desk.live.rests == words
    desk.after(10.0)
    assert desk.asked == ["fog"]
    desk.rests = ""
    desk.after(0.3)
    assert desk.asked == ["fog", "fog"]


def test_a_look_that_made_way_for_a_take_is_asked_for_again(desk) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.refuse("busy", "A take is being made.")
    assert desk.live.sentence == "" and not desk.live.is_looking
    desk.after(0.1)
    assert desk.asked == ["fog"]
    desk.after(0.3)
    assert desk.asked == ["fog", "fog"]


def test_what_goes_wrong_is_one_sentence_until_something_changes(desk) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.refuse("too_large", "A look would take about 40 s.")
    desk.after(10.0)
    assert desk.live.sentence == "A look would take about 40 s." and desk.asked == ["fog"]
    desk.live.turn(False)
    assert desk.live.sentence == ""
    desk.live.turn(True)
    desk.type("fog")
    desk.after(0.3)
    assert desk.client.calls[-1][0].anew, "turned on again, it is tried again"


def test_sources_that_must_be_rendered_are_not_looked_at(desk) -> None:
    desk.found = "Live needs footage that can be read directly."
    desk.type("fog")
    desk.after(0.3)
    assert desk.asked == [] and desk.live.sentence == desk.found


def test_off_or_another_file_ends_the_look_and_takes_its_pictures_away(desk) -> None:
    desk.type("fog")
    desk.after(0.3)
    desk.answer(0.5)
    desk.live.forget()
    assert desk.live.seen is None and not desk.live.is_of_shown
    desk.after(0.05)
    assert desk.client.ends == 1
    desk.after(0.05)
    assert desk.client.ends == 1, "it is told once"
    desk.type("rain")
    desk.after(0.3)
    params, answered, _ = desk.client.calls[-1]
    desk.live.turn(False)
    answered(desk.looks.LookResult(params.request, ["/1.rgba"], 0.1))
    assert desk.live.seen is None, "what comes late is of nobody's"


def test_what_was_seen_is_what_lands_wherever_it_goes(desk, messages) -> None:
    take = Take(desk.make_request("fog", origin=messages.Origin(start=7), seed=3, media_folder="/film/wan"))
    assert desk.live.landing(take) is None
    desk.type("fog")
    desk.after(0.3)
    seen = desk.answer(0.5)
    landing = desk.live.landing(take).request
    assert landing == replace(seen.request, origin=take.request.origin, media_folder="/film/wan")
    assert landing.least_size and landing.seed == seen.request.seed
    assert desk.live.landing(Take(desk.make_request("rain"))) is None


def test_of_a_beginning_the_whole_lands_with_its_seed_at_its_own_size(desk, messages) -> None:
    desk.type("fog")
    desk.after(0.3)
    seen = desk.answer(0.5, whole=False)
    landing = desk.live.landing(Take(desk.make_request("fog", resolution="480p"))).request
    assert (landing.seed, landing.quality) == (seen.request.seed, messages.Quality.DRAFT)
    assert landing.resolution == "480p" and not landing.least_size


def test_a_locked_seed_is_the_look_s_and_another_look_has_another_seed(desk) -> None:
    desk.live.show(Take(desk.make_request("fog", seed=41)), seed_locked=True)
    desk.after(0.3)
    assert desk.client.calls[-1][0].request.seed == 41
    desk.answer(0.5)
    desk.type("fog")
    desk.after(0.3)
    before = desk.client.calls[-1][0].request.seed
    desk.answer(0.5)
    desk.live.another()
    desk.type("fog")
    desk.after(0.3)
    assert desk.client.calls[-1][0].request.seed not in (before, 41)


def test_what_the_sources_are_counts(desk) -> None:
    for strip in ("a", "b"):
        desk.live.show(Take(desk.make_request("fog"), SimpleNamespace(wanted=(strip,))))
        desk.after(0.3)
        desk.answer(0.5)
    assert desk.asked == ["fog", "fog"]


def test_why_it_rests_is_known_without_a_server_and_asks_for_no_ticks(desk) -> None:
    words = "Live drafts are made on this machine alone: box makes takes."
    desk.type("fog")
    desk.live.tick(None, words)
    assert desk.live.rests == words and not desk.live.busy
    desk.rests = words
    desk.after(10.0)
    assert desk.asked == [] and desk.client.ends == 0, "nothing is tried"


def test_two_windows_do_not_take_turns_for_ever(desk) -> None:
    def draw_both(one: str, two: str) -> None:
        for window, prompt in ((1, one), (2, two)):
            desk.live.show(Take(desk.make_request(prompt)), window=window)

    for _ in range(8):
        draw_both("fog", "rain")
        desk.after(0.5)
        if desk.live.is_looking:
            desk.answer(0.1)
    assert desk.asked == ["rain"] and not desk.live.busy
    draw_both("snow", "rain")
    desk.after(0.5)
    assert desk.asked == ["rain", "snow"], "whoever edits there sees that"
