"""What the doctor says of the card, of the models folders, and of how each model would run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.memory import forecast
from wan_backend.memory.residency_plan import Residency
from wan_backend.protocol.messages import WorkerState, WorkerStatus
from wan_backend.server import cards, diagnosis, graphics_card
from wan_backend.server.graphics_card import GraphicsCard
from wan_backend.server.planner import Planner

GB = 1_000_000_000
H200 = "cuda (NVIDIA H200)"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def examined(folders=(), worker=None, budget=None):
    """The findings by topic."""
    worker = worker or WorkerStatus("ready", "cpu", "2.13", "", 64 * GB, 48 * GB)
    rows = Planner(list(folders), None).rows()
    return {found.topic: found for found in diagnosis.examine(None, rows, worker, folders, budget)}


def said_by_nvidia(monkeypatch, text):
    """nvidia-smi says `text`; None: there is none."""

    def run(command, **_):
        if text is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, text, "")

    monkeypatch.setattr(cards.subprocess, "run", run)


@pytest.mark.parametrize("wrong", ["absent", "a file", "nul"])
def test_a_models_folder_that_can_not_be_read_is_no_good(tmp_path, wrong):
    (tmp_path / "a file").write_text("")
    folder = "/\0" if wrong == "nul" else str(tmp_path / wrong)
    finding = examined([folder])["models folder"]
    assert not finding.good and "can't be read" in finding.sentence and "choose another" in finding.mend


def test_a_models_folder_that_is_good(tmp_path):
    tiny_folder.write(tmp_path / "models" / "embedded")
    assert examined([str(tmp_path / "models")])["models folder"].good


def test_the_command_line_says_so_too(tmp_path, capsys, monkeypatch):
    from wan_backend.command_line import arguments

    monkeypatch.setattr(diagnosis, "_torch", lambda _: (diagnosis.Finding("torch", True, "torch."), None))
    assert arguments.run(["doctor", "--models-folder", str(tmp_path / "absent")]) == 1
    out = capsys.readouterr().out
    assert out.startswith("WRONG models folder:") and out.count(graphics_card.UNKNOWN) == len(entries.load().models)


def test_which_card_and_what_is_free_of_it(monkeypatch):
    said_by_nvidia(
        monkeypatch, "GPU-11111111, 24000, 20000, 8.9, NVIDIA L4\nGPU-22222222, 143000, 140000, 9.0, NVIDIA H200\n"
    )
    worker = WorkerStatus("ready", H200, "2.13", "", 150 * GB, 200 * GB)
    findings = examined(worker=worker, budget=24 * GB)
    sentence = findings["card"].sentence
    assert "NVIDIA H200" in sentence and "150.0 GB of card" in sentence and "146.8 GB free" in sentence
    assert "24.0 GB may be used" in sentence and "200.0 GB of memory free" in sentence


def test_a_card_of_which_nobody_tells_what_is_free(monkeypatch):
    said_by_nvidia(monkeypatch, None)
    worker = WorkerStatus("ready", "cuda (AMD Radeon)", "2.13", "", 24 * GB, 60 * GB)
    findings = examined(worker=worker)
    assert "free memory unknown" in findings["card"].sentence
    assert "nothing else on the card" in findings["model wan2.1-t2v-1.3b"].sentence


@pytest.mark.parametrize(
    "said",
    [
        "",
        "No devices were found\n",
        "GPU-22222222, 143000, [N/A], 9.0, NVIDIA H200\n",
        "GPU-1111, 12, 12, 9.0, Another\n",
        "GPU-1111\n",
    ],
)
def test_what_nvidia_says_may_be_of_no_use(monkeypatch, said):
    said_by_nvidia(monkeypatch, said)
    assert graphics_card.free_of(H200) is None


def test_an_nvidia_program_that_hangs(monkeypatch):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(cards.subprocess, "run", run)
    assert graphics_card.free_of(H200) is None


@pytest.mark.parametrize(
    ("model", "free", "words"),
    [
        ("wan2.1-t2v-14b", 140, "all of it stays on the card"),
        ("wan2.1-t2v-14b", 33, "its components take turns on the card"),
        ("wan2.1-i2v-14b-480p", 51, "stay on the card, and the text encoder visits it for each prompt"),
        ("wan2.1-t2v-14b", 24, "of the transformer stays on the card, the rest visits it block by block"),
        ("wan2.1-t2v-1.3b", 10, "the text encoder visits it block by block"),
        ("wan2.1-t2v-14b", 3, "more than is available"),
    ],
)
def test_the_plan_of_a_model_follows_the_card(model, free, words):
    told = GraphicsCard(H200, 150 * GB, free * GB, 128 * GB).forecast(model)
    assert words in told and told.startswith("At 480p")
    assert told.endswith(".")


def test_the_budget_counts_as_the_card():
    entry = entries.entry("wan2.1-t2v-14b")
    plan = forecast.plan_for(entry, forecast.Machine("cuda", 140 * GB, 128 * GB))
    assert plan.transformer is plan.text_encoder is Residency.RESIDENT
    assert "block by block" in GraphicsCard(H200, 150 * GB, 140 * GB, 128 * GB, 24 * GB).forecast(entry.id)


def test_on_the_processor():
    assert "all of it stays in memory" in GraphicsCard("cpu", 256 * GB, 200 * GB, 200 * GB).forecast("wan2.1-t2v-1.3b")
    assert "all of it stays in memory" in GraphicsCard("mps", 32 * GB, 30 * GB, 30 * GB).forecast("wan2.1-t2v-1.3b")
    assert "read from the disk again" in GraphicsCard("cpu", 64 * GB, 30 * GB, 30 * GB).forecast("wan2.1-t2v-1.3b")


@pytest.mark.parametrize("worker", [None, WorkerStatus("none"), WorkerStatus("ready", "cpu", "2.11")])
def test_nothing_is_made_up(worker):
    assert "unknown until a take is made" in GraphicsCard.of(worker).finding().sentence
    assert GraphicsCard.of(worker).forecast("embedded") == graphics_card.UNKNOWN


def test_every_model_says_where_it_is_and_how_it_runs():
    findings = examined()
    for model in entries.load().models:
        finding = findings["model " + model]
        assert "At " in finding.sentence and (finding.mend or "In " in finding.sentence)
        assert finding.good == (model == "embedded") and finding.not_downloaded != finding.good
    assert Path(diagnosis.sys.executable).name in findings["model wan2.1-t2v-14b"].mend


def test_a_model_that_is_here_but_broken_is_wrong(tmp_path):
    folder = tiny_folder.write(tmp_path / "wan2.1-t2v-1.3b", "WanPipeline", layers=30, heads=12)
    assert examined([str(tmp_path)])["model wan2.1-t2v-1.3b"].good
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    finding = examined([str(tmp_path)])["model wan2.1-t2v-1.3b"]
    assert not finding.good and not finding.not_downloaded and "can't be used because" in finding.sentence


def test_a_state_folder_that_is_not_there_yet_is_nothing_wrong(tmp_path):
    state = tmp_path / "not" / "yet"
    worker = WorkerStatus("ready", "cpu", "2.13", "", 64 * GB, 48 * GB)
    findings = {finding.topic: finding for finding in diagnosis.examine(state, [], worker)}
    assert findings["state"].good and "will be in" in findings["state"].sentence
    assert "can't be read" not in findings["disk"].sentence


def test_what_helps_later_takes_is_counted_where_it_lies(tmp_path):
    state, findings = tmp_path / "state", tmp_path / "findings"
    for name in ("copies/0123/model.safetensors", "prompts/a"):
        (findings / name).parent.mkdir(parents=True)
        (findings / name).write_bytes(bytes(3_000_000))
    worker = WorkerStatus("ready", "cpu", "2.13", "", 64 * GB, 48 * GB)
    found = {each.topic: each for each in diagnosis.examine(state, [], worker, findings_folder=findings)}
    assert "3 MB in" in found["copies"].sentence and str(findings) in found["copies"].sentence
    assert found["kept"].sentence.startswith("3 MB of encoded prompts")
    alone = {each.topic: each for each in diagnosis.examine(None, [], worker, findings_folder=findings)}
    assert "copies" in alone and "state" not in alone
    assert "copies" not in {each.topic for each in diagnosis.examine(state, [], worker)}


def test_each_of_several_workers_has_a_line_and_so_has_each_card(monkeypatch):
    said_by_nvidia(
        monkeypatch, "GPU-11111111, 24000, 20000, 8.9, NVIDIA L4\nGPU-22222222, 143000, 140000, 9.0, NVIDIA H200\n"
    )
    monkeypatch.setattr(cards, "can_be_listed", lambda: True)
    up = WorkerStatus("ready", "cpu", "2.13", "The worker is ready.", 64 * GB, 48 * GB, 0, "GPU-11111111")
    dead = WorkerStatus(WorkerState.BROKEN, sentence="It died 3 times in a row.", number=1, card="GPU-22222222")
    found = {each.topic: each for each in diagnosis.examine(None, [], up, workers=[up, dead])}
    assert found["worker 1"].good and not found["worker 2"].good
    assert found["worker 2"].sentence == "Card GPU-22222222. It died 3 times in a row."
    assert "149.9 GB" in found["card GPU-22222222"].sentence
