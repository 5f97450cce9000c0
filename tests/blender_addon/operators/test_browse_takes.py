"""The browser of takes: what lies where, what is listed, and a take of it laid on the timeline."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def grid(addon):
    return lambda **more: addon("operators.browser_grid").Grid(**{"left": 0, "width": 740, "height": 290, **more})


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("count", [0, 1, 60])
def test_cells_lie_in_the_region_and_beside_one_another(grid, scale, count) -> None:
    made = grid(scale=scale, count=count, width=740 * scale, height=290 * scale)
    boxes = [made.box(index) for index in made.in_view()]
    assert made.columns == 5
    assert all(box.left >= 0 and box.right <= made.width for box in boxes)
    for one, other in itertools.pairwise(boxes):
        assert one.right < other.left or one.bottom > other.top
    assert made.view.top > made.view.bottom and made.bar.bottom > made.view.top


def test_each_take_can_be_scrolled_to_and_is_found_under_the_pointer(grid) -> None:
    for index in (0, 17, 59):
        made = grid(scale=1.0, count=60)
        made = dataclasses.replace(made, scroll=made.scrolled_to(index))
        assert 0 <= made.scroll <= made.max_scroll + 1e-6
        box = made.picture(index)
        assert made.at((box.left + box.right) / 2, (box.bottom + box.top) / 2) == index
        assert box.top <= made.view.top + 1e-6 and box.bottom >= made.view.bottom - 1e-6


def test_only_what_is_in_view_is_drawn(grid) -> None:
    assert len(grid(scale=1.0, count=5000, scroll=40_000.0).in_view()) < 20


def test_chips_that_dont_fit_have_no_width(grid) -> None:
    boxes = grid(scale=1.0, width=300).chips([100.0, 100.0, 100.0])
    assert [box.right - box.left for box in boxes] == [100.0, 100.0, 0.0]


def test_without_a_window_it_says_why_not(addon, scene) -> None:
    import bpy

    operator = addon("operators.browse_takes").WAN_VSE_OT_browse_takes
    assert "preview" in operator.refusal(bpy.context)
    assert not bpy.ops.wan_vse.browse_takes.poll()


def test_the_list_follows_words_and_chips(addon, scene, put_take) -> None:
    module, library = addon("operators.browse_takes"), addon("jobs.take_library").TakeLibrary(Path("/nowhere/index"))
    fog, ball = put_take(1, prompt="fog"), put_take(2, prompt="a ball")
    library._by_folder = {take.folder: take for take in (fog, ball)}
    library._places = (str(Path(fog.folder).parent),)
    library._changed()
    browser = module.Browser(library, 0, "PREVIEW", used=frozenset({fog.job_id}))
    assert browser.found() == [ball, fog], "newest first"
    browser.chip = module.UNUSED
    assert browser.found() == [ball]
    browser.chip, browser.text = module.ALL, "fog"
    assert browser.found() == [fog]
    browser.chip = "restyle"
    assert browser.found() == []


TYPED = {"a": "fog a", "新": "fog 新", "\b": "fog", "": None}


@pytest.mark.parametrize("key", TYPED)
def test_typing_searches(addon, scene, key) -> None:
    event = SimpleNamespace(type="BACK_SPACE" if key == "\b" else "X", unicode=key, ctrl=False, oskey=False)
    assert addon("operators.browse_takes")._typed("fog ", event, "") == TYPED[key]


def test_pasting_and_clearing(addon, scene) -> None:
    typed = addon("operators.browse_takes")._typed
    paste = SimpleNamespace(type="V", unicode="", ctrl=True, oskey=False)
    assert typed("a ", paste, "red\nball") == "a red ball"
    assert typed("all", SimpleNamespace(type="BACK_SPACE", unicode="", ctrl=True, oskey=False), "") == ""


def test_a_take_is_laid_where_it_was_dropped_with_all_that_made_it(addon, scene, put_take) -> None:
    film_takes, identity = addon("jobs.film_takes"), addon("timeline.identity")
    take = put_take(1, prompt="fog in the harbor", length_frames=3)
    strip = film_takes.lay(take, scene, channel=4, start=31)
    assert (strip.name, strip.channel, addon("timeline.compat").start(strip)) == ("fog in the harbor", 4, 31)
    assert addon("timeline.compat").length_frames(strip) == 3
    (found,) = identity.all_marked()
    assert found.job_id == take.job_id and json.loads(found.request_text)["prompt"] == "fog in the harbor"
    assert film_takes.used_jobs() == {take.job_id}
    again = film_takes.lay(take, scene, channel=4, start=31)
    assert again.channel != 4, "nothing is covered"


def test_a_take_that_lost_a_file_says_so(addon, scene, put_take) -> None:
    take = put_take(1)
    (Path(take.folder) / "0003.png").unlink()
    sentence = addon("jobs.film_takes").lay(take, scene, 1, 1)
    assert "0003.png" in sentence and addon("jobs.film_takes").used_jobs() == frozenset()


def test_a_newer_versions_take_is_laid_without_its_request(addon, scene, put_take) -> None:
    take = put_take(1)
    file = Path(take.folder) / "take.json"
    file.write_text(file.read_text().replace('"text_to_video"', '"dream"'))
    newer = addon("jobs.take_library").read_take(Path(take.folder), 5)
    assert newer.is_newer
    strip = addon("jobs.film_takes").lay(newer, scene, 1, 1)
    assert not isinstance(strip, str) and addon("jobs.film_takes").used_jobs() == {take.job_id}


def test_the_places_are_the_films_own(addon, scene, tmp_path) -> None:
    import bpy

    film_takes = addon("jobs.film_takes")
    assert all("media" in place for place in film_takes.places())
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    assert film_takes.places()[0] == str(tmp_path / "wan")
