"""Text is broken and cut between words."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

TEXT = "Failed: The card is full; choose a smaller size, or a shorter take, and press Retry."


@pytest.fixture
def paragraph(addon):
    return addon("ui.paragraph")


@pytest.mark.parametrize("width", range(80, 700, 20))
def test_a_caption_ends_at_a_word(paragraph, width: int) -> None:
    short = paragraph.shortened(TEXT, width, 11)
    if short != TEXT:
        kept = short.removesuffix(" ...")
        assert TEXT.startswith(kept + " ") and short.endswith(" ...")


def test_a_caption_that_fits_is_whole_and_a_longer_one_is_as_long_as_it_can_be(paragraph) -> None:
    assert paragraph.shortened(TEXT, 10_000, 11) == TEXT
    assert paragraph.shortened(TEXT, 1, 11) == "Failed: ..."
    lengths = [len(paragraph.shortened(TEXT, width, 11)) for width in range(80, 700, 20)]
    assert lengths == sorted(lengths) and len(set(lengths)) > 5


@pytest.mark.parametrize("width", range(60, 400, 20))
def test_lines_end_at_words(paragraph, width: int) -> None:
    lines = paragraph.broken(TEXT, width, 11)
    assert " ".join(lines) == TEXT


def test_a_path_is_broken_where_its_words_meet(paragraph) -> None:
    path = "/home/somebody/a_long_folder_name/models--Wan-AI--Wan2.1-T2V-14B-Diffusers/snapshots/main"
    lines = paragraph.broken(path, 220, 11)
    assert len(lines) > 2 and "".join(lines) == path
    assert all(line[-1] in "/_-." for line in lines[:-1])


def test_one_line_is_cut_at_a_word(addon) -> None:
    one_line = addon("ui.wording").one_line
    assert one_line("fog\nover  pines", 80) == "fog over pines"
    assert one_line("fog over the pines", 15) == "fog over ..."
    assert one_line("x" * 99, 80) == "x" * 80


def test_a_long_prompt_is_measured_a_few_times(paragraph, monkeypatch) -> None:
    measured = []
    width = paragraph._width
    monkeypatch.setattr(paragraph, "_width", lambda line: measured.append(line) or width(line))
    short = paragraph.shortened(" ".join(f"word{index}" for index in range(350)), 137, 11)
    assert short.startswith("word0 word1 ") and short.endswith(" ...")
    assert len(measured) <= 12
    assert paragraph.shortened("", 137, 11) == "" and paragraph.shortened("fog" * 99, 137, 11) == "fog" * 99


def test_a_reason_is_said_whole_and_a_status_is_cut(paragraph, monkeypatch) -> None:
    monkeypatch.setattr(paragraph, "_room", lambda *_: (200, 11.0))
    text = "Wan 2.1 VACE 1.3B is not on this machine; download it, or choose the models folder that has it, please."
    drawn = {}
    for most in (0, 8):
        lines: list[str] = []
        label = lambda text, lines=lines, **_: lines.append(text)  # noqa: E731
        column = SimpleNamespace(row=lambda label=label: SimpleNamespace(label=label, scale_y=1.0))
        layout = SimpleNamespace(column=lambda align=False, column=column: column)
        paragraph.draw_lines(layout, bpy.context, [(text, "ERROR")], 2, 200.0, most=most)
        drawn[most] = lines
    assert len(drawn[0]) == 2 and drawn[0][-1].endswith(" ...")
    assert len(drawn[8]) > 2 and " ".join(drawn[8]) == text


def test_a_header_says_as_much_as_it_has_room_for(paragraph) -> None:
    texts = ["VACE 1.3B, 480p, Draft, 2 s, strength 0.7", "VACE 1.3B, 480p", "480p"]
    said = {}
    font = SimpleNamespace(widget=SimpleNamespace(points=11))
    style = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), ui_styles=[font])  # without a window, the scale is 0
    for width in (40, 200, 340, 2000):
        shown = SimpleNamespace(region=SimpleNamespace(width=width), preferences=style)
        layout = SimpleNamespace(label=lambda text, translate, width=width: said.update({width: text}))
        paragraph.draw_header(layout, shown, texts)
    assert said[2000] == texts[0] and said[200] in texts[1:] and said[40] == "480p"
