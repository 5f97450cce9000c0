"""Takes' folders have names that a person can read and that every system takes."""

from __future__ import annotations

import dataclasses
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.protocol import take_names
from wan_backend.protocol.messages import FrameRate, TakeRequest, Task
from wan_backend.protocol.plain_names import is_name

PLAIN = TakeRequest("", "embedded", 64, 36, 8, FrameRate(24), 4711, "/film/wan")


def title(prompt: str, **changes) -> str:
    return take_names.title(dataclasses.replace(PLAIN, prompt=prompt, **changes))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Harbor at dusk", "Harbor at dusk"),
        ("  Harbor\n at\tdusk. ", "Harbor at dusk"),
        (
            "a red ball rolls over grass while the camera slowly moves to the left",
            "a red ball rolls over grass while the",
        ),
        ("nul", "nul"),
        ('..\\..\\etc/passwd: <b>|?*"', "etc passwd b"),
        ("...", "Fill gap"),
        ("", "Fill gap"),
        ("霧の港、夕暮れ", "霧の港、夕暮れ"),
        ("ميناء عند الغسق", "ميناء عند الغسق"),
        ("\u202ereversed\u200b\ud800", "reversed"),
        ("cafe\u0301", "café"),
        ("\U0001f6a2 harbor", "\U0001f6a2 harbor"),
    ],
)
def test_the_first_words_and_the_seed_are_the_title(prompt, expected) -> None:
    assert title(prompt, task=Task.FILL_GAP) == f"{expected}, seed 4711"


@given(st.text(max_size=300), st.integers(0, 2**63 - 1), st.integers(1, take_names.MAX_NUMBER))
def test_every_system_takes_the_name_and_it_is_read_back(prompt, seed, number) -> None:
    made = title(prompt, seed=seed)
    name = take_names.numbered(number, made)
    assert len(name) < 60 and len(name.encode("utf-8")) <= 143
    assert is_name(name, windows=True) and is_name(name, windows=False)
    assert not any(unicodedata.category(each)[0] == "C" for each in name)
    assert take_names.may_be_take(name) and take_names.title_of(name) == made
    assert take_names.title_of(unicodedata.normalize("NFD", name)) == made, "as some disks of macOS give it back"
    assert take_names.is_called_after(name, "a" * 32, made)
    assert take_names.next_number([name]) in (number + 1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "Harbor",
        "12 Harbor, seed 1",
        "0012 Harbor, seed 1.partial",
        "0012 Harbor.replaced",
        "trash",
        "",
        "0012",
        "0012  a",
    ],
)
def test_other_folders_are_no_takes(name) -> None:
    assert not take_names.may_be_take(name)


def test_a_folder_is_a_jobs_by_its_settings_and_not_by_its_words_alone() -> None:
    job = "a" * 32
    assert take_names.is_called_after(job, job, None), "as earlier versions called it"
    assert not take_names.is_called_after("b" * 32, job, "Fog, seed 1")
    assert take_names.is_called_after("0001 The best of the harbor", job, "Rain, seed 1"), "a person changed the words"
    assert not take_names.is_called_after("The best of the harbor", job, "Rain, seed 1")
    assert not take_names.is_called_after("0001 Fog, seed 1", job, None)
    assert not take_names.is_called_after("0001 Fog, seed 1", None, "Fog, seed 1")
    assert take_names.is_called_after("0009 Fog, seed 1", job, "Fog, seed 1"), "a copy that got another number"


def test_numbers_are_above_all_and_end() -> None:
    assert take_names.next_number([]) == 1
    assert take_names.next_number(["0003 Fog, seed 1", "a" * 32, "0010 holiday, seed x"]) == 4
    assert take_names.next_number(["999999 Fog, seed 1"]) == 0
