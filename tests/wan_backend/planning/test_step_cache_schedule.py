"""Which steps the step cache skips: never too many in a row, never with more error than the settings allow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wan_backend.planning.step_cache_schedule import StepCacheSettings, skipped_steps

RATIOS = st.lists(st.floats(0.3, 1.7), min_size=1, max_size=60)


def runs(skipped: list[int]) -> list[list[int]]:
    """The skipped steps, those in a row together."""
    found: list[list[int]] = []
    for step in skipped:
        if found and found[-1][-1] == step - 1:
            found[-1].append(step)
        else:
            found.append([step])
    return found


@given(RATIOS, st.data())
def test_what_is_skipped_keeps_to_the_settings(ratios, data):
    first = data.draw(st.integers(0, len(ratios) - 1))
    computed = data.draw(st.sets(st.integers(0, len(ratios))))
    settings = StepCacheSettings(data.draw(st.floats(0, 0.5)), data.draw(st.integers(0, 4)), data.draw(st.floats(0, 1)))
    skipped = skipped_steps(ratios, range(first, len(ratios)), computed, settings)
    assert skipped == sorted(set(skipped)) and not computed & set(skipped)
    assert all(step > first and step >= settings.computed_share * len(ratios) for step in skipped)
    for run in runs(skipped):
        assert len(run) <= settings.max_skipped
        product, error = 1.0, 0.0
        for step in run:
            product *= ratios[step]
            error += abs(1 - product)
        assert error <= settings.threshold


def test_steps_that_are_alike_are_skipped_as_often_as_may_be():
    assert skipped_steps([1.0] * 10, range(10)) == [2, 3, 5, 6, 8, 9]
    assert skipped_steps([1.0] * 10, range(10), settings=StepCacheSettings(max_skipped=1)) == [2, 4, 6, 8]
    assert skipped_steps([1.0] * 10, range(10), [6]) == [2, 3, 5, 7, 8]
    assert skipped_steps([1.0] * 10, range(6, 10)) == [7, 8]


def test_errors_of_steps_in_a_row_add_up():
    settings = StepCacheSettings(threshold=0.1, max_skipped=9, computed_share=0.0)
    assert skipped_steps([0.97] * 6, range(6), settings=settings) == [1, 2, 4, 5]
    assert skipped_steps([0.97, 1.03] * 3, range(6), settings=settings) == [1, 2, 3, 4, 5]
    assert skipped_steps([0.89] * 6, range(6), settings=settings) == []
