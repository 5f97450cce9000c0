"""The list of machines in the preferences: added, used, removed, tested; and the line to the one that is used."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest
from test_drawing import draw_all, visible_text


@pytest.fixture
def preferences(addon):
    """With two machines, of which none is used."""
    wanted = addon("preferences").get()
    for name in ("box", "cloud"):
        bpy.ops.wan_vse.add_machine()
        wanted.machines[-1].name, wanted.machines[-1].command = name, f"ssh {name} wan-backend serve"
    yield wanted
    wanted.used_machine = 0
    wanted.machines.clear()


def test_the_one_that_is_used_is_what_the_backend_is(stand_in, addon, preferences):
    folders = addon("jobs.folders")
    assert folders.backend_settings().machine is None
    bpy.ops.wan_vse.use_machine(number=2)
    bpy.ops.wan_vse.add_path_pair(number=2)
    pair = preferences.machines[1].pairs[0]
    pair.near, pair.far = "/mnt/shots", "/srv/shots"
    bpy.ops.wan_vse.add_path_pair(number=2)  # not filled in
    machine = folders.backend_settings().machine
    assert (machine.name, machine.command) == ("cloud", "ssh cloud wan-backend serve")
    assert machine.pairs == (("/mnt/shots", "/srv/shots"),)
    bpy.ops.wan_vse.remove_path_pair(number=2, pair=0)
    assert folders.backend_settings().machine.pairs == ()


def test_a_removed_machine_is_no_longer_used_and_others_stay_so(stand_in, preferences):
    bpy.ops.wan_vse.use_machine(number=2)
    bpy.ops.wan_vse.remove_machine(number=1)
    assert preferences.used_machine == 1 and preferences.machines[0].name == "cloud"
    bpy.ops.wan_vse.remove_machine(number=1)
    assert preferences.used_machine == 0 and not preferences.machines


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_that_is_none_changes_nothing(stand_in, preferences, number):
    for operator in ("remove_machine", "add_path_pair", "remove_path_pair"):
        assert getattr(bpy.ops.wan_vse, operator)(number=number) == {"CANCELLED"}
    assert len(preferences.machines) == 2


def test_new_machines_have_names_of_their_own(stand_in, preferences):
    for _ in range(3):
        bpy.ops.wan_vse.add_machine()
    assert len({machine.name for machine in preferences.machines}) == 5


def test_the_page_shows_what_a_test_found_and_the_line(stand_in, addon, preferences):
    link = addon("jobs.server_proxy").LinkStatus
    sentence = addon("jobs.server_proxy").NO_SENTENCE.__class__
    preferences.used_machine = 1
    preferences.machines[0].pairs.add()
    stand_in.machine_test.found = SimpleNamespace(good=False, ended=True, lines=["box answers.", "There is no card."])
    stand_in.server.link = link(True, sentence("Sending footage to box."), 3, 10)
    layout = draw_all(addon)
    words = visible_text(layout)
    assert "Sending footage to box." in words and "There is no card." in words and "Add Shared Folder" in words
    stand_in.server.link = link(False, sentence("The line to box broke."))
    assert "The line to box broke." in visible_text(draw_all(addon))


def test_a_saved_file_says_nothing_of_machines(stand_in, preferences, tmp_path):
    """A command line is a person's own: it is in the preferences, and never in a .blend."""
    preferences.used_machine = 1
    file = tmp_path / "film.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file), compress=False)
    assert b"wan-backend serve" not in file.read_bytes()
