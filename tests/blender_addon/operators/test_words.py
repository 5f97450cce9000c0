"""What a person reads of the operators and the settings: labels, tooltips, and that F3 finds them."""

from __future__ import annotations

import re

import bpy
import pytest

DOWNLOADS = ("download_model", "confirm_download", "resume_download", "pause_download", "cancel_download")
OF_KEYS = ("pie", "compare_next", "compare_end", "compare_border", "warn_of_unfinished")
PRESETS = ("use_preset", "remove_preset", "use_prompt", "star_prompt", "enter_prompt")
MACHINES = ("add_machine", "remove_machine", "use_machine", "test_machine", "add_path_pair", "remove_path_pair")
"""Those of the preferences' list; all but the first need its row."""
OF_BUTTONS = ("another_look", "apply_fix", "choose_task", "confirm_setup", "show_kept_take", "show_stale", "use_card")
NOT_IN_MENUS = {f"WAN_VSE_OT_{name}" for name in (*OF_BUTTONS, *PRESETS, *DOWNLOADS, *OF_KEYS, *MACHINES)}
"""These mean nothing without the button, or the key, that they belong to."""


NAMED_BY_THE_FILE_BROWSER = ("WAN_VSE_OT_add_loras",)


def operators(addon):
    return addon("operators").CLASSES


def is_sentence(text: str) -> bool:
    """Blender ends a tooltip with a full stop itself, so that it must not have one."""
    return bool(re.fullmatch(r"[A-Z][^\n]{8,}[^\s.!?,:;]", text)) and "TODO" not in text


def test_every_operator_can_be_read(addon, scene) -> None:
    for operator in operators(addon):
        assert operator.bl_label.startswith("Wan: ") or operator.__name__ in NAMED_BY_THE_FILE_BROWSER, operator
        assert is_sentence(operator.__doc__), operator.__doc__
        for prop in getattr(bpy.ops.wan_vse, operator.bl_idname.partition(".")[2]).get_rna_type().properties:
            assert prop.is_hidden or prop.identifier in ("rna_type",) or is_sentence(prop.description), prop


def test_what_changes_the_timeline_can_be_undone(addon) -> None:
    undoable = {operator.__name__ for operator in operators(addon) if "UNDO" in operator.bl_options}
    names = ("generate", "generate_into_gap", "regenerate", "place_take", "load_settings", "use_standard_view")
    assert {f"WAN_VSE_OT_{name}" for name in names} <= undoable


def test_the_search_finds_every_operator(addon) -> None:
    """F3 searches menus: each operator is in one, and none is hidden from the search of operators."""
    menus = addon("ui.menus")
    in_menu = {f"WAN_VSE_OT_{entry[0]}" for group in menus.GROUPS for entry in group}
    found = [each for each in operators(addon) if each.__name__ not in NOT_IN_MENUS]
    assert [each.__name__ for each in found if "INTERNAL" in each.bl_options] == []
    assert {each.__name__ for each in found} - in_menu == set()


@pytest.mark.parametrize("owner", ["WanSettings", "WanPreferences"])
def test_every_setting_has_a_tooltip(addon, scene, owner: str) -> None:
    cls = getattr(addon("properties" if owner == "WanSettings" else "preferences"), owner)
    seen = 0
    for prop in cls.bl_rna.properties:
        if prop.identifier in ("rna_type", "name", "bl_idname") or prop.is_hidden:
            continue
        seen += 1
        assert prop.name and is_sentence(prop.description), prop.identifier
        if prop.type == "ENUM":
            for item in prop.enum_items_static:
                assert item.name and is_sentence(item.description), (prop.identifier, item.identifier)
    assert seen >= 5


def test_no_operator_of_another_kind_is_registered(addon) -> None:
    registered = {name for name in dir(bpy.types) if name.startswith("WAN_VSE_OT_")}
    assert registered == {operator.__name__ for operator in operators(addon)}
