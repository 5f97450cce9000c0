"""Sweeping over the strips: copies get ids of their own, placeholders are followed, and while all stay, nothing is."""

from __future__ import annotations

import pytest

JOB = "a" * 32


@pytest.fixture
def swept(cut, addon, monkeypatch):
    """swept() sweeps and returns the ids of the strips that were followed."""
    identity = addon("timeline.identity")
    followed: list[str] = []
    real = identity._follow
    monkeypatch.setattr(identity, "_follow", lambda strip: followed.append(strip[identity.STRIP]) or real(strip))

    def sweep(replaced: bool = False) -> list[str]:
        followed.clear()
        identity.sweep(replaced)
        return list(followed)

    sweep(replaced=True)
    return sweep


def placeholder(cut, identity, start: int = 1):
    strip = cut.compat.new_color(cut.strips, "P", 2, start, 20)
    identity.mark_placeholder(strip, JOB, "{}")
    return strip


def test_strips_that_stay_are_not_followed(cut, addon, swept) -> None:
    identity = addon("timeline.identity")
    strip = placeholder(cut, identity)
    ids = [strip[identity.STRIP]]
    assert (swept(), swept(), swept(replaced=True)) == (ids, [], ids)
    strip.channel = 4
    assert swept() == ids
    cut.compat.set_handles(strip, 5, 21)
    assert swept() == ids and identity.offset_frames(strip) == 4


def test_a_copy_gets_an_id_of_its_own(cut, addon, swept) -> None:
    identity = addon("timeline.identity")
    first, copy = placeholder(cut, identity), placeholder(cut, identity, 100)
    copy[identity.STRIP] = first[identity.STRIP]
    before = first[identity.STRIP]
    assert len(set(swept())) == 2
    assert first[identity.STRIP] == before != copy[identity.STRIP]


def test_strips_in_metas_are_seen_to_move(cut, addon, swept) -> None:
    identity = addon("timeline.identity")
    strip = placeholder(cut, identity)
    strip.move_to_meta(cut.strips.new_meta(name="Meta", channel=5, frame_start=1))
    assert len(swept()) == 1 and swept() == []
    strip.channel = 3
    assert len(swept()) == 1
    (found,) = identity.all_marked()
    assert (found.job_id, found.is_placeholder, found.declined) == (JOB, True, False)


def test_a_strip_is_found_again_without_a_look_at_the_others(cut, addon, swept, monkeypatch) -> None:
    identity = addon("timeline.identity")
    strip = placeholder(cut, identity)
    strip_id = strip[identity.STRIP]
    assert identity.find(strip_id).strip == strip
    walked = []
    real = identity.strip_columns.walk
    monkeypatch.setattr(identity.strip_columns, "walk", lambda scene: walked.append(scene) or real(scene))
    assert identity.find(strip_id).strip == strip and not walked
    strip.name = "Renamed"
    assert identity.find(strip_id).strip.name == "Renamed" and walked
    walked.clear()
    assert identity.find(strip_id).strip.name == "Renamed" and not walked


def test_the_id_decides_and_not_the_name(cut, addon, swept) -> None:
    identity = addon("timeline.identity")
    first, second = placeholder(cut, identity), placeholder(cut, identity, 100)
    ids = first[identity.STRIP], second[identity.STRIP]
    assert identity.find(ids[0]).strip == first
    names = first.name, second.name
    first.name = "Third"
    second.name, first.name = names
    assert second.name == names[0] and identity.find(ids[0]).strip == first
    meta = cut.strips.new_meta(name="Meta", channel=5, frame_start=1)
    first.move_to_meta(meta)
    found = identity.find(ids[0])
    assert found.strip == first and [each.name for each in found.collection] == [first.name]
    cut.compat.strips(meta).remove(first)
    assert identity.find(ids[0]) is None and identity.find(ids[1]).strip == second
