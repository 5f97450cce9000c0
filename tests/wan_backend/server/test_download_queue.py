"""Downloads through a real server and its real fetching process, from a hub on 127.0.0.1."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults import mounts
from tests.wan_backend.downloads import fake_hub
from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import Served, is_alive, processes_with, wait_until
from wan_backend.catalogue import entries

SMALL, CONTROL = entries.entry("wan2.1-t2v-1.3b"), entries.entry("wan2.1-vace-1.3b")
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
LARGE_VALUES = 2_000_000
FOLDERS = ("models", "cache", "other")
"""Below a test's own, those that are fetched into."""


@pytest.fixture
def models_folder(tmp_path):
    """A models folder of the test's own, which is fetched into."""
    tiny_folder.write(tmp_path / "models" / "embedded")
    return tmp_path / "models"


@pytest.fixture
def hub(tmp_path):
    """Both models; the transformers are 8 MB."""
    made = fake_hub.FakeHub()
    for entry, pipeline in ((SMALL, "WanPipeline"), (CONTROL, "WanVACEPipeline")):
        tiny_folder.write(tmp_path / entry.id, pipeline, layers=30, heads=12)
        made.add(entry.repo, tmp_path / entry.id, LICENSE__txt=b"Apache")
        made.repos[entry.repo][TRANSFORMER] = tiny_folder.safetensors(LARGE_VALUES + len(entry.id))
    for folder in FOLDERS:
        made.accept(tmp_path / folder)
    yield made
    made.close()


@pytest.fixture
def served(serve, hub, tmp_path, monkeypatch):
    """served(*flags) is a greeted server that knows the hub, and a cache of the test's own."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return lambda *flags, **more: serve(*flags, HF_ENDPOINT=hub.url, **more)


def told(server, model, *states, seconds=120.0):
    """The first event of the download in one of the states."""
    return server.wait(
        lambda message: (
            message.get("method") == "download"
            and message["params"]["model"] == model.id
            and message["params"]["state"] in states
        ),
        seconds,
    )["params"]


def begun(server, model, at_least=200_000):
    """Wait until some of it is here."""
    return server.wait(
        lambda message: (
            message.get("method") == "download"
            and message["params"]["model"] == model.id
            and message["params"]["state"] == "running"
            and message["params"]["done_bytes"] > at_least
        )
    )["params"]


def counted(server, model, at_least):
    """Wait until it is known how much another server left of it: another thread looks."""
    until = time.monotonic() + 30
    while True:
        (status,) = [status for status in server.call("downloads")["downloads"] if status["model"] == model.id]
        if at_least <= status["done_bytes"] < status["total_bytes"]:
            return
        assert time.monotonic() < until, status
        time.sleep(0.05)


def fetching(server):
    """The fetching processes of that server that run."""
    marker = f"--models-folder\0{server.models}"
    command = b"wan_backend.downloads\0run"
    return [pid for pid in processes_with(marker) if command in Path(f"/proc/{pid}/cmdline").read_bytes()]


def with_loras(hub, tmp_path):
    """Let the hub have both LoRAs of one repository."""
    loras = [entries.any_entry(known_id) for known_id in ("wan2.1-t2v-14b-4step", "wan2.1-i2v-14b-4step")]
    hub.repos[loras[0].repo] = {"README.md": b"About"} | {
        lora.files[0]: tiny_folder.safetensors(LARGE_VALUES + len(lora.id)) for lora in loras
    }
    for folder in FOLDERS:
        hub.accept(tmp_path / folder)
    return loras


def hold(hub):
    """Let a file's first 3 MB come at once, and the rest so slowly that no machine is too busy to be there before."""
    hub.quick_bytes = 3_000_000
    pace(hub, 120.0)


def pace(hub, seconds_in_all):
    """Let a transformer take so long."""
    hub.slow_seconds = seconds_in_all / (LARGE_VALUES * 4 / fake_hub.PIECE_BYTES)


def test_plan_then_download_then_use(served, hub, models_folder):
    server = served()
    plan = server.call("download_plan", model=CONTROL.id)
    assert plan["problem"] is None and plan["fetch_bytes"] == plan["total_bytes"] > LARGE_VALUES * 4
    assert plan["licence_url"].endswith("LICENSE.txt") and plan["folder"] == str(models_folder)
    assert server.call("downloads")["downloads"] == []
    assert server.call("download", model=CONTROL.id)["state"] in ("waiting", "running")
    done = told(server, CONTROL, "done")
    assert done["done_bytes"] == done["total_bytes"] == plan["total_bytes"]
    (row,) = server.rows(lambda rows: rows[CONTROL.id]["here"], CONTROL.id)
    assert row["folder"].startswith(str(models_folder))
    assert list((server.state / "downloads").iterdir()) == []


def test_the_server_answers_meanwhile(served, hub):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL)
    for _ in range(20):
        server.call("list")
    (download,) = server.call("downloads")["downloads"]
    assert download["state"] == "running", "the answers did not wait for the end of the download"


def test_one_after_another(served, hub):
    pace(hub, 2.0)
    server = served()
    server.call("download", model=CONTROL.id)
    assert server.call("download", model=SMALL.id)["state"] == "waiting"
    told(server, CONTROL, "done")
    told(server, SMALL, "done")
    states = [
        (message["params"]["model"], message["params"]["state"])
        for message in server.messages
        if message.get("method") == "download"
    ]
    assert states.index((SMALL.id, "running")) > states.index((CONTROL.id, "done"))
    assert hub.names().count("text_encoder/model.safetensors") == 1


def test_pause_and_resume(served, hub):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL, 2_000_000)
    paused = server.call("pause_download", model=CONTROL.id)
    assert paused["state"] == "paused" and paused["seconds_left"] is None and paused["done_bytes"] > 2_000_000
    time.sleep(1.0)  # none begins again by itself
    wait_until(lambda: fetching(server) == [])
    asked = len(hub.asked)
    hub.slow_seconds = 0.0
    server.call("download", model=CONTROL.id)
    told(server, CONTROL, "done")
    ranges = [wanted for name, wanted in hub.asked[asked:] if name == TRANSFORMER]
    assert ranges and int(ranges[0].removeprefix("bytes=").rstrip("-")) >= 1_000_000


def test_pause_and_resume_at_once(served, hub):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL)
    hub.slow_seconds = 0.0
    server.call("pause_download", model=CONTROL.id)
    server.call("download", model=CONTROL.id)
    server.wait(lambda message: message.get("method") == "download" and message["params"]["state"] == "done")
    assert not [m for m in server.messages if m.get("method") == "download" and m["params"]["state"] == "failed"]


def test_canceling_removes_what_was_fetched(served, hub, models_folder):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL, 1_000_000)
    server.call("cancel_download", model=CONTROL.id)
    told(server, CONTROL, "cancelled")
    assert not list(models_folder.glob("models--*VACE*/blobs/*"))
    assert server.call("downloads")["downloads"] == [] and list((server.state / "downloads").iterdir()) == []


def test_canceling_a_paused_one(served, hub, models_folder):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL, 1_000_000)
    server.call("pause_download", model=CONTROL.id)
    server.call("cancel_download", model=CONTROL.id)
    told(server, CONTROL, "cancelled")
    assert not list(models_folder.glob("models--*VACE*/blobs/*"))


def test_kill_9_of_the_fetching_process(served, hub):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL, 1_000_000)
    (child,) = fetching(server)
    os.kill(child, signal.SIGKILL)
    failed = told(server, CONTROL, "failed")
    assert "retry to resume" in failed["problem"]["sentence"]
    assert failed["problem"]["fixes"][0]["action"] == "download" and failed["problem"]["log"]
    server.forget_messages()
    hub.slow_seconds = 0.0
    server.call("download", model=CONTROL.id)
    told(server, CONTROL, "done")


def test_kill_9_of_the_server(served, hub, models_folder):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL, 2_000_000)
    (child,) = fetching(server)
    server.kill()
    until = time.monotonic() + 30
    while is_alive(child):
        assert time.monotonic() < until, "the fetching process outlived its server"
        time.sleep(0.02)
    again = served()
    (status,) = again.call("downloads")["downloads"]
    assert status["state"] == "paused" and "Resume" in status["sentence"]
    counted(again, CONTROL, 2_000_000)
    hub.slow_seconds = 0.0
    again.call("download", model=CONTROL.id)
    told(again, CONTROL, "done")
    (folder,) = models_folder.glob("models--*VACE*/snapshots/*")
    content = (folder / TRANSFORMER).read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(hub.repos[CONTROL.repo][TRANSFORMER]).digest()


def test_leaving_in_the_middle(served, hub):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL)
    server.end_stdin()
    assert fetching(server) == []
    (status,) = served().call("downloads")["downloads"]
    assert status["state"] == "paused"


def test_another_models_folder_leaves_nothing_behind(served, hub, models_folder, tmp_path):
    hold(hub)
    server = served()
    server.call("download", model=CONTROL.id)
    begun(server, CONTROL)
    server.end_stdin()
    assert list(models_folder.glob("models--*/blobs/*"))
    hub.slow_seconds = 0.0
    with Served(server.state, tmp_path / "other", HF_ENDPOINT=hub.url) as again:
        again.call("download", model=CONTROL.id)
        told(again, CONTROL, "done")
        until = time.monotonic() + 30
        while list(models_folder.glob("models--*/blobs/*")):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert list((tmp_path / "other").glob("models--*/snapshots/*/model_index.json"))


def test_two_servers_do_not_get_in_each_others_way(served, hub):
    hold(hub)
    first, second = served(), served()
    first.call("download", model=CONTROL.id)
    begun(first, CONTROL)
    assert [status["state"] for status in second.call("downloads")["downloads"]] == ["paused"]
    assert second.refused("cancel_download", model=CONTROL.id)["data"]["kind"] == "busy"
    second.call("download", model=CONTROL.id)
    assert told(second, CONTROL, "failed")["problem"]["kind"] == "busy"
    hub.slow_seconds = 0.0
    told(first, CONTROL, "done")


def test_a_lora_is_planned_paused_resumed_and_here(served, hub, models_folder, tmp_path):
    (lora, _) = with_loras(hub, tmp_path)
    hold(hub)
    server = served()
    plan = server.call("download_plan", model=lora.id)
    assert plan["problem"] is None and plan["licence"] == lora.licence and plan["fetch_bytes"] > LARGE_VALUES * 4
    server.call("download", model=lora.id)
    begun(server, lora, 2_000_000)
    assert server.call("pause_download", model=lora.id)["state"] == "paused"
    server.end_stdin()
    again = served()
    (status,) = again.call("downloads")["downloads"]
    assert (status["model"], status["state"]) == (lora.id, "paused")
    counted(again, lora, 2_000_000)
    hub.slow_seconds = 0.0
    again.call("download", model=lora.id)
    told(again, lora, "done")
    rows = again.rows(lambda rows: rows[lora.id]["here"], lora.id, "taew2_1")
    assert [row["here"] for row in rows] == [True, False]


def test_canceling_a_lora_leaves_the_other_one_of_its_repository_alone(served, hub, models_folder, tmp_path):
    first, second = with_loras(hub, tmp_path)
    hold(hub)
    server = served()
    server.call("download", model=first.id)
    begun(server, first, 1_000_000)
    server.call("pause_download", model=first.id)
    server.call("download", model=second.id)
    begun(server, second, 1_000_000)
    server.call("cancel_download", model=first.id)
    told(server, first, "cancelled")
    hub.slow_seconds = 0.0
    told(server, second, "done")
    names = {file.name for file in models_folder.glob("models--lightx2v*/snapshots/*/*")}
    assert names == {"README.md", second.files[0]}
    assert len(list(models_folder.glob("models--lightx2v*/blobs/*"))) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "not_allowed"), (404, "not_found"), pytest.param(503, "hub_failed", marks=pytest.mark.long)],
)
def test_what_the_hub_refuses(served, hub, status, kind):
    hub.status[CONTROL.repo] = status
    server = served()
    assert server.call("download_plan", model=CONTROL.id)["problem"]["kind"] == kind
    server.call("download", model=CONTROL.id)
    failed = told(server, CONTROL, "failed")
    assert failed["problem"]["kind"] == kind and failed["sentence"] == failed["problem"]["sentence"]
    assert [status["state"] for status in server.call("downloads")["downloads"]] == ["failed"]


def test_a_person_who_wants_to_stay_offline(served, hub):
    server = served(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in server.call("download_plan", model=CONTROL.id)["problem"]["sentence"]
    assert hub.asked == []


def test_the_token_is_nowhere_on_the_disk(served, hub, tmp_path):
    server = served(HF_TOKEN="hf_secret")
    server.call("download", model=CONTROL.id)
    told(server, CONTROL, "done")
    assert "Bearer hf_secret" in hub.tokens
    kept = [file for file in server.state.rglob("*") if file.is_file()]
    assert kept and not [file for file in kept if b"hf_secret" in file.read_bytes()]
    assert not [file for file in kept if b"HTTP Request" in file.read_bytes()], "an address may hold a key"


@pytest.mark.parametrize("method", ["download", "download_plan", "pause_download", "cancel_download"])
def test_models_that_are_none(served, method):
    error = served().refused(method, model="nonsense")
    assert error["code"] == -32001 and error["data"]["sentence"].endswith(".")


@pytest.mark.skipif(sys.platform != "linux" or not mounts.can_mount(), reason="needs mounts of its own")
def test_a_disk_that_fills_meanwhile(served, hub, models_folder):
    pace(hub, 4.0)
    server = served(prefix=mounts.small_disk(models_folder, 30_000))
    server.call("download", model=SMALL.id)
    begun(server, SMALL, 500_000)
    ballast = mounts.seen_by(server.process.pid, models_folder) / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1 << 16))
    failed = told(server, SMALL, "failed")
    assert failed["problem"]["kind"] == "disk_full" and "what was downloaded is kept" in failed["sentence"]
    assert [fix["label"] for fix in failed["problem"]["fixes"]] == ["Retry", "Choose Folder"]
    ballast.unlink()
    hub.slow_seconds = 0.0
    hub.asked.clear()
    server.call("download", model=SMALL.id)
    told(server, SMALL, "done")
    assert any(name == TRANSFORMER and wanted for name, wanted in hub.asked)


@pytest.mark.skipif(sys.platform != "linux" or not mounts.can_mount(), reason="needs mounts of its own")
def test_a_disk_that_is_too_small(served, hub, models_folder):
    server = served(prefix=mounts.small_disk(models_folder, 10_000))
    plan = server.call("download_plan", model=SMALL.id)
    assert plan["problem"]["kind"] == "disk_full" and plan["free_bytes"] < 10_300_000 and plan["fetch_bytes"] > 8e6
    server.call("download", model=SMALL.id)
    assert told(server, SMALL, "failed")["problem"]["kind"] == "disk_full"
    assert TRANSFORMER not in hub.names()


def test_the_record_of_a_model_that_is_gone_is_passed_over(served):
    server = served()
    folder = server.state / "downloads"
    folder.mkdir()
    (folder / "old.json").write_text('{"status": {"model": "old", "state": "paused"}}')
    (folder / "bad.json").write_text("{")
    assert server.call("downloads")["downloads"] == []
