"""How long our calls take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def stopwatch(addon):
    module = addon("stopwatch")
    module.reset()
    return module


def test_it_counts_blocks_and_functions(stopwatch, monkeypatch):
    clock = SimpleNamespace(now=0.0, busy=0.0)
    clock.perf_counter, clock.thread_time = lambda: clock.now, lambda: clock.busy
    monkeypatch.setattr(stopwatch, "time", clock)

    @stopwatch.timed("double")
    def double(self, number):
        clock.now += number
        clock.busy += number
        return number * 2

    for number in range(3):
        assert double(None, number) == number * 2
    with stopwatch.timed("nap"):
        clock.now += 8.0
    report = stopwatch.report()
    assert report["double"] == (3, 1.0, 2.0, 2.0, 1.0), "the median and the worst"
    assert report["nap"] == (1, 8.0, 8.0, 0.0, 0.0), "a nap needs no processor"


def test_a_failure_is_counted_and_passed_on(stopwatch):
    with pytest.raises(KeyError), stopwatch.timed("fails"):
        raise KeyError
    assert stopwatch.report()["fails"][0] == 1


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_blender_sees_the_arguments_that_it_counts(stopwatch, count):
    names = ", ".join(f"a{number}" for number in range(count))
    function = stopwatch.timed("f")(eval(f"lambda {names}: ({names})"))
    function(*range(count))
    assert stopwatch.report()["f"][0] == 1
    if count in (2, 3):
        assert function.__code__.co_argcount == count
