"""The day of a farm on paper: its sums are right where they can be known beforehand."""

from __future__ import annotations

import dataclasses

from tools.benchmarks.farm import ANY, CARDS, WARM, Assumed, QueueCosts, day, measured, report

COSTS = QueueCosts(0.01, 0.01, 1e-5, 0.01, 1e-3, 3000.0)


def test_what_the_queue_takes_is_measured_on_a_real_one(tmp_path):
    costs = measured(tmp_path, jobs=8)
    assert all(value > 0 for value in vars(costs).values())


def test_warm_models_are_loaded_once_for_each_card_that_is_needed():
    longest, loads = day(Assumed(take_seconds=100.0, spread=0.0, models=1), cards=50, jobs=1000, keeps_warm=True)
    assert longest == 0.0 and loads <= 50
    _, cold = day(Assumed(models=6), cards=50, jobs=1000, keeps_warm=False)
    assert cold > 500


def test_too_few_cards_make_jobs_wait():
    assumed = Assumed(take_seconds=86_400.0, spread=0.0, models=1)
    longest, _ = day(assumed, cards=2, jobs=6, keeps_warm=True)
    assert longest > 86_400.0
    assert any(line.startswith(f"ends: {CARDS}") or "100.0%" in line for line in report(COSTS, assumed, 2, 6))


def test_what_ends_is_said_with_what_one_would_change():
    slow = dataclasses.replace(Assumed(), share_bytes_a_second=1e6)
    lines = report(COSTS, slow, 1000, 10_000)
    assert any(line.startswith(f"ends: {ANY}") for line in lines) and any(WARM in line for line in lines)
    fast = dataclasses.replace(Assumed(), share_bytes_a_second=1e15)
    assert report(COSTS, fast, 1000, 10_000)[-1].startswith("ends: nothing")
