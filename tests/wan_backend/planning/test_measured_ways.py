"""How quick each way of sharing takes is: kept in a file, compared at one shape, and damaged files hold nothing."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from wan_backend.planning.measured_ways import KEPT_TAKES, MIN_TAKES, ONE, Kind, MeasuredWays, Shape, Way
from wan_backend.protocol.messages import FrameRate, MatrixPrecision, Plan, Sampler, SteadySteps

PLAN = Plan("big", 832, 480, 81, FrameRate(16), 121, 20, 5.0, 3.0, Sampler.UNIPC, forwards=40, all_forwards=40)
CARD = "cuda (a card)"
HALVES, TOKENS, WEIGHTS = Way(2, 1), Way(2, 2), Way(2, 2, True)
KIND, SHAPE = Kind.of(PLAN, CARD, False), Shape.of(PLAN)


def learned(ways: MeasuredWays, way: Way, seconds: float, times: int = MIN_TAKES, **changed) -> None:
    """So many takes that took so long a pass."""
    plan = dataclasses.replace(PLAN, **dataclasses.asdict(way), **changed)
    for _ in range(times):
        ways.record(plan, CARD, SteadySteps(seconds, 0.0))


@pytest.fixture
def ways(tmp_path):
    return MeasuredWays(tmp_path / "state" / "measured_ways.json")


def known(ways: MeasuredWays, kind: Kind = KIND, **changed) -> dict[Way, float]:
    return ways.pass_seconds(kind, Shape.of(dataclasses.replace(PLAN, **changed)), [ONE, HALVES, TOKENS])


def test_ways_that_were_measured_are_compared(ways):
    assert known(ways) == {}
    learned(ways, ONE, 2.0)
    assert known(ways) == {}, "one alone is compared with nothing"
    learned(ways, TOKENS, 1.5)
    learned(ways, WEIGHTS, 1.0)
    assert known(ways) == {ONE: 2.0, TOKENS: 1.5}, "the others are not possible"
    assert ways.takes(KIND, SHAPE) == {ONE: MIN_TAKES, TOKENS: MIN_TAKES, WEIGHTS: MIN_TAKES} and ways.count() == 3


def test_one_take_alone_says_nothing_and_of_the_newest_ones_the_quickest_counts(ways):
    learned(ways, ONE, 2.0)
    learned(ways, HALVES, 9.0, times=1)
    assert known(ways) == {}, "another program may have had the cards"
    learned(ways, HALVES, 1.0, times=1)
    assert known(ways) == {ONE: 2.0, HALVES: 1.0}
    learned(ways, HALVES, 1.4, times=KEPT_TAKES)
    assert known(ways)[HALVES] == 1.4, "as it is by now"


@pytest.mark.parametrize(
    "kind",
    [
        {"model": "other"},
        {"card": "cuda (another card)"},
        {"controlled": True},
        {"matrices": MatrixPrecision.FAST_8_BIT},
    ],
)
def test_another_model_card_or_kind_of_take_is_measured_by_itself(ways, kind):
    learned(ways, ONE, 2.0)
    learned(ways, TOKENS, 1.5)
    assert known(ways) and not known(ways, dataclasses.replace(KIND, **kind))


def test_the_nearest_shape_at_which_ways_can_be_compared_counts(ways):
    for frames, tokens in ((81, 1.5), (49, 0.9)):
        learned(ways, ONE, 1.0, model_frames=frames)
        learned(ways, TOKENS, tokens, model_frames=frames)
    learned(ways, ONE, 1.0, model_frames=57)
    assert known(ways)[TOKENS] == 1.5 and known(ways, model_frames=57)[TOKENS] == 0.9
    assert known(ways, model_frames=77)[TOKENS] == 1.5 and known(ways, width=1280, height=720) == {}
    assert known(ways, model_frames=161, window_frames=81)[TOKENS] == 1.5
    assert known(ways, model_frames=401, window_frames=81) == {}, "five times as long"
    assert known(ways, model_frames=0) == {}


def test_what_comes_one_after_another_in_each_way():
    passes = [way.passes(PLAN) for way in (ONE, HALVES, TOKENS, WEIGHTS)]
    assert passes == [40, 20, 40, 40]
    half_guided = dataclasses.replace(PLAN, forwards=30)
    assert [way.passes(half_guided) for way in (ONE, HALVES)] == [30, 20]


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "[]",
        lambda _: "[" * 100_000,
        lambda value: json.dumps({**value, "format": 99}),
        lambda value: json.dumps({**value, "ways": 3}),
        lambda value: json.dumps({**value, "ways": [3, {"of": 3, "seconds": [1.0, 1.0]}, {}]}),
        lambda value: json.dumps(value).replace("2.0", "NaN"),
        lambda value: json.dumps(value).replace("2.0", '"long"'),
        lambda value: json.dumps(value).replace("2.0", "-1.0"),
        lambda value: json.dumps(value).replace("[2.0, 2.0]", "2.0"),
        lambda value: json.dumps(value).replace('"exact"', '"other"'),
        lambda value: json.dumps(value).replace("832", "1" + 400 * "0" + ".0"),
        lambda value: json.dumps(value).replace("832", "-832"),
        lambda value: json.dumps(value).replace('"cards"', '"maps"'),
    ],
)
def test_a_damaged_file_holds_nothing_and_is_written_anew(ways, tmp_path, change):
    learned(ways, ONE, 2.0)
    learned(ways, TOKENS, 2.0)
    file = tmp_path / "state" / "measured_ways.json"
    file.write_text(change(json.loads(file.read_text())))
    assert known(ways) == {}
    more = MeasuredWays(tmp_path / "more.json")
    more.add_all_of(ways)
    assert known(more) == {}
    learned(ways, ONE, 2.5)
    learned(ways, TOKENS, 2.0, times=KEPT_TAKES)
    assert known(ways)[TOKENS] == 2.0


def test_a_file_that_is_no_such_file_is_said_in_the_log(ways, tmp_path, caplog):
    learned(ways, ONE, 2.0)
    (tmp_path / "state" / "measured_ways.json").write_text("{")
    assert known(ways) == {} and "measured_ways.json can't be read, so no ways are known" in caplog.text


def test_what_was_measured_elsewhere_takes_the_place_of_what_was_known(ways, tmp_path):
    learned(ways, ONE, 2.0)
    learned(ways, HALVES, 2.0)
    new = MeasuredWays(tmp_path / "new.json")
    learned(new, HALVES, 1.1)
    ways.add_all_of(new)
    assert known(ways) == {ONE: 2.0, HALVES: 1.1}


def test_what_was_cut_off_takes_the_place_of_nothing_that_counts(ways, tmp_path):
    learned(ways, ONE, 2.0)
    elsewhere = MeasuredWays(tmp_path / "elsewhere.json")
    learned(elsewhere, ONE, 9.0, times=1)
    learned(elsewhere, TOKENS, 1.0, times=1)
    ways.add_all_of(elsewhere)
    learned(ways, TOKENS, 1.5, times=1)
    assert known(ways) == {ONE: 2.0, TOKENS: 1.0}


def test_a_take_is_kept_beside_everything_else_and_no_file_keeps_none(ways):
    for _ in range(MIN_TAKES):
        ways.learn(PLAN, CARD, SteadySteps(2.0, 0.0))
    MeasuredWays().learn(PLAN, CARD, SteadySteps(2.0, 0.0))
    for thread in threading.enumerate():
        if thread.name == "measured ways":
            thread.join(30)
    assert ways.takes(KIND, SHAPE) == {ONE: MIN_TAKES} and MeasuredWays().takes(KIND, SHAPE) == {}
