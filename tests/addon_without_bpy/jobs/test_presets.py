"""Presets and earlier prompts: kept for all files, whole, and set aside if somebody damaged them."""

from __future__ import annotations

import importlib
import json

import pytest

presets = importlib.import_module("wan_vse.blender_addon.jobs.presets")
Preset, PresetFiles, PresetLora = presets.Preset, presets.PresetFiles, presets.PresetLora


def test_the_last_prompt_comes_first_and_none_twice(tmp_path):
    files = PresetFiles(tmp_path)
    for prompt in ("fog", "rain", "fog", "  ", "fog "):
        files.use_prompt(prompt)
    assert files.prompts() == ["fog", "rain"]
    assert PresetFiles(tmp_path).prompts() == ["fog", "rain"]


def test_fifty_prompts_are_kept(tmp_path):
    files = PresetFiles(tmp_path)
    for number in range(60):
        files.use_prompt(f"take {number}")
    assert len(files.prompts()) == 50 and files.prompts()[0] == "take 59"


def test_two_blenders_keep_each_others_prompts(tmp_path):
    one, other = PresetFiles(tmp_path), PresetFiles(tmp_path)
    assert one.prompts() == other.prompts() == []
    one.use_prompt("fog")
    other.use_prompt("rain")
    assert PresetFiles(tmp_path).prompts() == ["rain", "fog"]


@pytest.mark.parametrize("prompt", ["fog", "Nebel über Föhren", "霧 🌲", "ضباب", 'a "quoted" \\ line\nand another'])
def test_a_favorite_is_kept_for_all_files_until_its_star_comes_off(tmp_path, prompt):
    files, other = PresetFiles(tmp_path), PresetFiles(tmp_path)
    assert other.favorites() == []
    assert files.star_prompt("rain", True) == files.star_prompt(f" {prompt} ", True) == ""
    assert files.star_prompt(prompt, True) == ""  # no second time
    assert PresetFiles(tmp_path).favorites() == [prompt, "rain"]
    assert other.star_prompt("rain", False) == ""
    assert PresetFiles(tmp_path).favorites() == [prompt] and files.prompts() == []


def test_favorites_outlast_the_last_prompts_and_are_at_most_a_hundred(tmp_path):
    files = PresetFiles(tmp_path)
    assert "empty" in files.star_prompt("  ", True)
    for number in range(presets.MAX_FAVORITES):
        assert files.star_prompt(f"take {number}", True) == ""
    assert "take the star off" in files.star_prompt("one more", True)
    for number in range(60):
        files.use_prompt(f"other {number}")
    assert len(PresetFiles(tmp_path).favorites()) == presets.MAX_FAVORITES


def test_a_preset_comes_back_whole_and_replaces_its_namesake(tmp_path):
    files = PresetFiles(tmp_path)
    lora = PresetLora("/loras/ink.safetensors", False, 0.7, "HIGH")
    assert files.add(Preset("  Ink  ", {"quality": "DRAFT", "style_words": "ink on paper"}, (lora,))) == ""
    assert files.add(Preset("Ink", {"quality": "BEST"}, (lora,))) == ""
    kept = PresetFiles(tmp_path).preset("Ink")
    assert kept == Preset("Ink", {"quality": "BEST"}, (lora,))
    assert files.remove("Ink") == "" and PresetFiles(tmp_path).presets() == []


def test_a_preset_needs_a_name_and_there_are_at_most_a_hundred(tmp_path):
    files = PresetFiles(tmp_path)
    assert "name" in files.add(Preset("   "))
    for number in range(presets.MAX_PRESETS):
        assert files.add(Preset(f"{number}")) == ""
    assert "remove one" in files.add(Preset("one more"))


HOSTILE = [
    "",
    "{",
    "7",
    '{"a": 1}',
    "[" * 50_000,
    "[7]",
    '[{"name": 7}]',
    '[{"name": "x", "settings": {"quality": 7}}]',
    '[{"name": "x", "loras": [{"path": 7}]}]',
    '[{"name": "x", "loras": [{"path": "a", "strength": NaN}]}]',
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", [presets.PROMPTS_FILE, presets.FAVORITES_FILE, presets.PRESETS_FILE])
def test_a_damaged_file_is_put_aside_with_a_sentence(tmp_path, text, name):
    (tmp_path / name).write_text(text)
    files = PresetFiles(tmp_path)
    assert files.prompts() == [] and files.favorites() == [] and files.presets() == []
    assert name in files.problem and (tmp_path / f"{name}.damaged").read_text() == text
    files.use_prompt("fog")
    assert PresetFiles(tmp_path).prompts() == ["fog"]


def test_unknown_settings_and_wild_strengths_are_not_believed(tmp_path):
    preset = {"name": "x", "settings": {"__class__": "y", "quality": "BEST"}, "loras": [{"path": "a", "strength": 900}]}
    (tmp_path / presets.PRESETS_FILE).write_text(json.dumps([preset]))
    (kept,) = PresetFiles(tmp_path).presets()
    assert kept.settings == {"quality": "BEST"} and kept.loras[0].strength == presets.MAX_STRENGTH


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    files = PresetFiles(tmp_path / "file")
    assert "can't be kept" in files.add(Preset("x"))
    files.use_prompt("fog")
    assert files.prompts() == ["fog"]


@pytest.mark.parametrize("name", [presets.PROMPTS_FILE, presets.FAVORITES_FILE, presets.PRESETS_FILE])
def test_a_file_that_cannot_be_read_for_now_is_never_written_over(tmp_path, monkeypatch, name):
    before = PresetFiles(tmp_path)
    before.use_prompt("fog")
    before.star_prompt("fog", True)
    before.add(Preset("fog"))
    content = (tmp_path / name).read_bytes()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(presets.whole_file, "read_json", refuse)
        files = PresetFiles(tmp_path)
        files.use_prompt("rain")
        assert "can't be read" in files.star_prompt("rain", True)
        assert "can't be read" in files.star_prompt("fog", False)
        assert "can't be read" in files.add(Preset("rain"))
        assert "can't be read" in files.remove("fog")
    assert (tmp_path / name).read_bytes() == content
    assert files.add(Preset("rain")) == "" and [each.name for each in files.presets()] == ["fog", "rain"]


def test_each_damaged_file_is_kept_under_a_name_of_its_own(tmp_path):
    file = tmp_path / presets.FAVORITES_FILE
    for text in ("{", "7", "[7]"):
        file.write_text(text)
        assert PresetFiles(tmp_path).favorites() == []
    names = ["favorites.json.damaged", "favorites.json.damaged-2", "favorites.json.damaged-3"]
    assert [(tmp_path / name).read_text() for name in names] == ["{", "7", "[7]"]


def test_a_damaged_file_that_cannot_be_put_aside_stays(tmp_path, monkeypatch):
    (tmp_path / presets.FAVORITES_FILE).write_text("{")
    monkeypatch.setattr(presets, "MAX_ASIDE", 1)
    (tmp_path / "favorites.json.damaged").write_text("7")
    assert "can't be read" in PresetFiles(tmp_path).star_prompt("fog", True)
    assert (tmp_path / presets.FAVORITES_FILE).read_text() == "{"


def test_whatever_is_kept_can_be_read_again(tmp_path):
    files = PresetFiles(tmp_path)
    for number in range(presets.MAX_FAVORITES):
        assert files.star_prompt(f"{number:03}" + "🌲" * presets.MAX_PROMPT_CHARACTERS, True) == ""
    again = PresetFiles(tmp_path)
    assert len(again.favorites()) == presets.MAX_FAVORITES and not again.problem
    long = Preset("long", {"negative_prompt": "x" * (presets.MAX_VALUE_CHARACTERS + 1)})
    assert files.add(Preset("fog")) == "" and "shorten" in files.add(long)
    assert [each.name for each in PresetFiles(tmp_path).presets()] == ["fog"]


def test_more_than_is_read_again_is_not_written(tmp_path, monkeypatch):
    files = PresetFiles(tmp_path)
    assert files.add(Preset("fog")) == ""
    monkeypatch.setattr(presets, "MAX_BYTES", 300)
    assert "too long" in files.add(Preset("rain", {"style_words": "x" * 300}))
    assert [each.name for each in PresetFiles(tmp_path).presets()] == ["fog"]


def test_half_characters_are_nothing_that_a_menu_has_to_draw(tmp_path):
    (tmp_path / presets.FAVORITES_FILE).write_text('["fog \\ud800\\u0000"]')
    wild = '[{"name": "\\ud800", "settings": {"style_words": "\\udfff"}}]'
    (tmp_path / presets.PRESETS_FILE).write_text(wild)
    files = PresetFiles(tmp_path)
    (preset,) = files.presets()
    for text in (*files.favorites(), preset.name, *preset.settings.values()):
        assert text.encode() and "\0" not in text
