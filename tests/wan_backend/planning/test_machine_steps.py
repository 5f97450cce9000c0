"""Where a model would sit in the memory that is there, and what fits where it doesn't: every fix is true."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.wan_backend.frames.asked import asked
from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.library.locate import LocatedModel, UnavailableModel
from wan_backend.memory import forecast
from wan_backend.memory.forecast import Machine
from wan_backend.planning import machine_steps
from wan_backend.planning.draft import NOT_SEARCHED, Inventory
from wan_backend.protocol.messages import FrameRate, MatrixPrecision

GB = 10**9
MODELS = {name: entries.entry(name) for name in ("embedded", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.2-ti2v-5b")}
LARGE = MODELS["wan2.1-t2v-14b"]


def plan_on(machine: Machine, request, others=()):
    here = {request.model, *(entry.id for entry in others)}

    def find(entry):
        return LocatedModel(Path("/nowhere")) if entry.id in here else UnavailableModel(NOT_SEARCHED)

    return machine_steps.plan_on_machine(request, Inventory(find, machine=machine))


def settled(machine: Machine, entry=LARGE, others=(), **changes):
    values = {"width": 1280, "height": 720, "resolution": "720p", "length_frames": 121, "model": entry.id, **changes}
    request = take_request("/tmp", **values)
    return plan_on(machine, request, others), request


@pytest.mark.parametrize(
    ("card_gb", "words"),
    [(100, "All of it stays on the card."), (40, "Its components take turns"), (16, "visits it block by block")],
)
def test_what_fits_is_told_with_its_figure(card_gb, words):
    made, _ = settled(Machine("cuda", card_gb * GB, 64 * GB))
    assert made.problem is None and words in made.memory and made.memory.endswith(".")
    assert 0 < made.memory_bytes <= card_gb * GB


def test_what_does_not_fit_is_refused_with_what_does():
    machine = Machine("cuda", int(5.5 * GB), 64 * GB)
    made, request = settled(machine, others=list(MODELS.values()))
    assert made.problem.kind == "too_large" and made.memory == ""
    assert "5.5 GB" in made.problem.sentence and LARGE.label in made.problem.sentence
    settings = {fix.setting for fix in made.problem.fixes}
    assert settings == {"resolution", "length_frames", "model"}
    for fix in made.problem.fixes:
        value = int(fix.value) if fix.setting == "length_frames" else fix.value
        again = dataclasses.replace(request, **{fix.setting: value})
        entry = MODELS[again.model]
        if fix.setting == "model":
            again = dataclasses.replace(again, resolution=entry.default_size)
        fixed = plan_on(machine, again)
        assert fixed.problem is None and fixed.memory_bytes <= machine.usable_bytes


def test_the_length_that_is_offered_is_the_longest_that_fits():
    machine = Machine("cuda", int(5.5 * GB), 64 * GB)
    made, request = settled(machine)
    (fix,) = (fix for fix in made.problem.fixes if fix.setting == "length_frames")
    longer = dataclasses.replace(request, length_frames=int(fix.value) + 12)
    assert plan_on(machine, longer).problem is not None


def test_where_nothing_fits_that_is_said():
    made, _ = settled(Machine("cuda", GB // 2, 64 * GB))
    assert made.problem.fixes == [] and "another machine" in made.problem.sentence


def test_what_would_fit_an_idle_card_is_not_refused_for_what_was_on_it_once():
    made, _ = settled(Machine("cuda", 2 * GB, 64 * GB, most_bytes=24 * GB))
    assert made.problem is None and "stays on the card" in made.memory
    assert any("only 2.0 GB of the card were free: close other programs" in note for note in made.notes)
    idle, _ = settled(Machine("cuda", 22 * GB, 64 * GB, most_bytes=24 * GB))
    assert idle.problem is None and not any("close" in note for note in idle.notes)


def test_the_length_of_a_gap_is_not_offered_to_be_another():
    changes = {"model": "wan2.1-vace-14b", "width": 1280, "height": 720, "resolution": "720p"}
    made = plan_on(Machine("cuda", 5 * GB, 64 * GB), asked("fill", 121, FrameRate(24), **changes))
    assert made.problem.kind == "too_large" and made.problem.fixes
    assert "length_frames" not in {fix.setting for fix in made.problem.fixes}


def test_a_quantized_file_is_reckoned_by_its_size(monkeypatch):
    request = take_request("/tmp", width=832, height=480, resolution="480p", model=LARGE.id)
    machine = Machine("cuda", 16 * GB, 64 * GB)
    whole = plan_on(machine, request)
    monkeypatch.setattr(machine_steps, "_quantized_bytes", lambda _draft: 9 * GB)
    packed = plan_on(machine, request)
    assert "of the transformer stays" in whole.memory
    assert packed.memory.startswith("The transformer and the autoencoder stay")


def test_fast_matrices_are_said_and_counted_with_half_the_weights():
    machine = Machine("cuda", 16 * GB, 64 * GB)
    values = {"width": 832, "height": 480, "resolution": "480p"}
    exact, _ = settled(machine, **values)
    fast, _ = settled(machine, matrix_precision=MatrixPrecision.FAST_8_BIT, **values)
    assert (exact.matrix_precision, fast.matrix_precision) == ("exact", "fast_8_bit")
    assert set(fast.notes) - set(exact.notes) == {machine_steps.FAST_8_BIT_NOTE}
    shares = [int(re.search(r"(\d+)% of the transformer stays", made.memory)[1]) for made in (exact, fast)]
    assert shares[1] > 1.7 * shares[0]


@pytest.mark.parametrize(
    ("machine", "gguf", "note"),
    [
        (Machine("cpu", 200 * GB, 200 * GB), False, machine_steps.NO_CARD_FOR_8_BIT_NOTE),
        (Machine("mps", 200 * GB, 200 * GB), False, machine_steps.NO_CARD_FOR_8_BIT_NOTE),
        (Machine("cuda", 80 * GB, 200 * GB), True, machine_steps.GGUF_NOT_IN_8_BIT_NOTE),
    ],
)
def test_where_fast_matrices_can_not_be_had_that_is_said_beforehand(machine, gguf, note, monkeypatch):
    monkeypatch.setattr(machine_steps, "_is_packed_gguf", lambda _draft: gguf)
    exact, _ = settled(machine)
    made, _ = settled(machine, matrix_precision=MatrixPrecision.FAST_8_BIT)
    assert made.matrix_precision is MatrixPrecision.EXACT and set(made.notes) - set(exact.notes) == {note}
    assert (made.memory, made.memory_bytes) == (exact.memory, exact.memory_bytes)


def test_another_wrong_comes_first():
    made, _ = settled(Machine("cuda", GB // 2, 64 * GB), prompt=" ")
    assert made.problem.kind == "bad_prompt"


def test_a_model_that_can_not_do_the_task_is_not_offered():
    machine = Machine("cuda", int(5.5 * GB), 64 * GB)
    made, _ = settled(machine, others=[entries.entry("wan2.1-i2v-14b-480p"), MODELS["wan2.1-t2v-1.3b"]])
    assert [fix.value for fix in made.problem.fixes if fix.setting == "model"] == ["wan2.1-t2v-1.3b"]


def test_without_a_card_the_machine_counts():
    made, _ = settled(Machine("cpu", 200 * GB, 200 * GB))
    assert made.problem is None and made.memory == "All of it stays in memory."
    assert forecast.plan_for(LARGE, Machine("cpu", 60 * GB, 60 * GB)).peak_bytes > 60 * GB
