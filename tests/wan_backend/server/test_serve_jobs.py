"""Jobs through a real server with the fake worker: made, canceled, crashed, refused."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request, write_job
from tests.wan_backend.server.served import is_alive, request, wait_until
from wan_backend.protocol.errors import INVALID_PARAMS, NO_SUCH_JOB, REFUSED
from wan_backend.protocol.messages import Role, Source, Task


def nothing_half_made(media) -> bool:
    return not list(media.glob("*.partial"))


def test_a_job_is_made(serve, media):
    server = serve()
    job_id = server.submit(request(media, "fog", length_frames=7))
    done = server.wait_for(job_id, "done")
    assert done["progress"] == 1.0 and done["sentence"] == "Done." and done["take"]["frames"] == 7
    assert len(list((media / job_id).glob("*.png"))) == 7
    assert json.loads((media / job_id / "take.json").read_bytes())["job_id"] == job_id
    assert server.jobs()[job_id]["state"] == "done"


def test_states_come_in_order_and_progress_never_falls(serve, media):
    server = serve()
    job_id = server.submit(request(media, "slow:0.05", length_frames=20))
    server.wait_for(job_id, "done")
    told = [m["params"] for m in server.messages if m.get("method") in ("job", "progress")]
    states = list(dict.fromkeys(job["state"] for job in told))
    assert states == ["queued", "loading", "encoding", "denoising", "decoding", "done"]
    progress = [job["progress"] for job in told]
    assert progress == sorted(progress)
    assert all(job["progress"] < 1 for job in told if job["state"] != "done")


def test_progress_is_told_by_and_by_in_events_of_one_size(serve, media):
    """Of 300 reports some, each as small as another's, however much the job was asked for."""
    server = serve()
    sizes = []
    for prompt in ("slow:0.002 frames:300", "slow:0.002 frames:300 " + "long " * 900):
        job_id = server.submit(request(media, prompt))
        server.wait_for(job_id, "done")
        of_job = [m for m in server.messages if m.get("params", {}).get("job_id") == job_id]
        told = [m for m in of_job if m["method"] == "progress"]
        assert 2 <= len(told) <= 150
        assert len([m for m in of_job if m["method"] == "job"]) <= 7
        sizes.append(max(len(json.dumps(m)) for m in of_job if m["params"]["state"] == "decoding"))
    assert sizes[1] < sizes[0] + 250


def test_jobs_run_one_after_another_in_the_order_they_came(serve, media):
    server = serve()
    ids = [server.submit(request(media, f"fog {n}")) for n in range(4)]
    server.wait_for(ids[-1], "done")
    finished = [m["params"]["job_id"] for m in server.messages if m.get("params", {}).get("state") == "done"]
    assert finished == ids
    assert list(server.jobs()) == ids[::-1]


def test_submitted_twice_counts_once(serve, media):
    server = serve()
    job_id = uuid.uuid4().hex
    line = {"jsonrpc": "2.0", "method": "submit", "params": {"job_id": job_id, "request": request(media)}}
    server.send(b"".join(json.dumps({**line, "id": f"s{n}"}).encode() + b"\n" for n in range(5)))
    for n in range(5):
        answer = server.wait(lambda message, n=n: message.get("id") == f"s{n}")
        assert answer["result"]["job_id"] == job_id
    server.submit(request(media), job_id)
    server.wait_for(job_id, "done")
    assert list(server.jobs()) == [job_id]


@pytest.mark.parametrize("bad", ["", "../../etc", "A" * 32, "0" * 31])
def test_a_bad_job_id_is_refused(serve, media, bad):
    server = serve()
    assert server.refused("submit", job_id=bad, request=request(media))["code"] == INVALID_PARAMS
    assert server.refused("cancel", job_id=bad)["code"] == NO_SUCH_JOB


def test_a_queued_job_is_canceled_at_once(serve, media):
    server = serve()
    first, second = server.submit(request(media, "slow:0.2")), server.submit(request(media))
    assert server.call("cancel", job_id=second)["state"] == "cancelled"
    server.wait_for(first, "done")
    assert not (media / second).exists()


def test_a_running_job_is_canceled_and_the_worker_stays(serve, media):
    server = serve()
    first = server.submit(request(media, "slow:0.3 frames:100"))
    server.wait_for(first, "decoding")
    server.call("cancel", job_id=first)
    server.wait_for(first, "cancelled")
    wait_until(lambda: nothing_half_made(media))
    second = server.submit(request(media))
    server.wait_for(second, "done")
    assert len(list((server.state / "logs").glob("worker-*.log"))) == 1


def test_a_worker_that_hears_no_cancel_is_killed_in_time(serve, media):
    server = serve()
    first = server.submit(request(media, "deaf"))
    server.wait_for(first, "denoising")
    server.call("cancel", job_id=first)
    server.wait_for(first, "cancelled")
    server.wait_for(server.submit(request(media)), "done")
    assert len(list((server.state / "logs").glob("worker-*.log"))) == 2


@pytest.mark.parametrize(
    ("prompt", "kind", "words"),
    [
        ("exit:3", "worker_died", "exit code 3): RuntimeError: told to exit"),
        (f"signal:{int(signal.SIGSEGV)}", "worker_died", "segmentation fault"),
        (f"signal:{int(signal.SIGKILL)}", "worker_died", "memory (RAM) ran out"),
        ("oom", "out_of_memory", "choose a smaller size"),
        ("error", "internal", "something odd"),
        ("lie", "internal", "run.take is missing"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_the_next_job_is_made(serve, media, prompt, kind, words):
    server = serve()
    job_id = server.submit(request(media, prompt))
    failed = server.wait_for(job_id, "failed")
    assert failed["problem"]["kind"] == kind
    assert words in failed["problem"]["sentence"] and failed["problem"]["sentence"].endswith(".")
    if kind == "worker_died":
        assert os.path.isfile(failed["problem"]["log"])
    wait_until(lambda: nothing_half_made(media))
    server.wait_for(server.submit(request(media)), "done")


def test_garbage_from_a_worker_is_passed_over(serve, media):
    server = serve()
    server.wait_for(server.submit(request(media, "garbage")), "done")


def test_three_quick_deaths_stop_the_respawning_until_a_retry(serve, media):
    server = serve()
    ids = [server.submit(request(media, "exit:1")) for _ in range(3)]
    waiting = server.submit(request(media))
    broken = server.wait_for_worker("broken")
    assert "3 times in a row" in broken["sentence"] and "told to exit" in broken["sentence"]
    time.sleep(0.3)
    assert server.jobs()[waiting]["state"] == "queued"
    assert "3 times in a row" in server.jobs()[waiting]["sentence"]
    assert len(list((server.state / "logs").glob("worker-*.log"))) == 3
    server.call("retry", job_id=ids[0])
    server.wait_for(waiting, "done")


def test_a_worker_that_never_starts_is_said_so(serve, media):
    server = serve(FAKE_WORKER_DIES="1")
    job_id = server.submit(request(media))
    broken = server.wait_for_worker("broken")
    assert "ImportError: no module named torch" in broken["sentence"]
    assert server.call("cancel", job_id=job_id)["state"] == "cancelled"
    assert server.call("release")["workers"][0]["state"] == "none"


def test_a_worker_command_that_is_no_program_is_said_so(serve, media):
    server = serve(command=["/no/such/program"])
    server.submit(request(media))
    assert "could not be started" in server.wait_for_worker("broken")["sentence"]


def test_release_ends_an_idle_worker_and_the_next_job_starts_one(serve, media):
    server = serve()
    server.wait_for_worker("ready")
    pid = next(iter(_children(server.process.pid)))
    assert server.call("release")["workers"][0]["state"] == "none"
    for _ in range(40):
        if not is_alive(pid):
            break
        time.sleep(0.05)
    assert not is_alive(pid)
    server.wait_for(server.submit(request(media)), "done")


def test_release_leaves_a_running_job_alone(serve, media):
    server = serve()
    job_id = server.submit(request(media, "slow:0.1"))
    server.wait_for(job_id, "decoding")
    assert server.call("release")["workers"][0]["state"] == "busy"
    server.wait_for(job_id, "done")


def test_a_failed_job_is_retried_and_a_done_one_stays_done(serve, media):
    server = serve()
    job_id = server.submit(request(media, "oom"))
    server.wait_for(job_id, "failed")
    assert server.call("retry", job_id=job_id)["state"] == "queued"
    done = server.submit(request(media))
    server.wait_for(done, "done")
    assert server.call("retry", job_id=done)["state"] == "done"


def test_a_done_job_that_lost_a_frame_is_made_again_and_the_rest_is_kept_aside(serve, media):
    server = serve()
    job_id = server.submit(request(media))
    server.wait_for(job_id, "done")
    (media / job_id / "0003.png").unlink()
    server.forget_messages()
    assert server.call("retry", job_id=job_id)["state"] == "queued"
    server.wait_for(job_id, "done")
    assert (media / job_id / "0003.png").exists()
    assert (media / f"{job_id}.damaged-1" / "0001.png").exists()


def test_settle_and_clear(serve, media):
    server = serve()
    job_id = server.submit(request(media))
    server.wait_for(job_id, "done")
    assert server.call("settle", job_ids=[job_id, "nonsense"])["job_ids"] == [job_id]
    assert server.jobs()[job_id]["settled"] is True
    assert json.loads((server.state / "jobs" / job_id / "state.json").read_bytes())["status"]["settled"] is True
    assert server.call("clear", job_ids=[job_id, "nonsense"])["job_ids"] == [job_id]
    assert server.jobs() == {}
    assert (media / job_id / "0001.png").exists()
    assert not (server.state / "jobs" / job_id).exists()


def test_a_running_job_is_not_cleared(serve, media):
    server = serve()
    job_id = server.submit(request(media, "slow:0.1"))
    server.wait_for(job_id, "decoding")
    assert server.call("clear", job_ids=[job_id])["job_ids"] == []
    assert server.call("settle", job_ids=[job_id])["job_ids"] == []
    server.wait_for(job_id, "done")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"prompt": ""}, "bad_prompt"),
        ({"prompt": "x" * 100_000}, "bad_prompt"),
        ({"width": 0}, "bad_size"),
        ({"length_frames": -1}, "bad_length"),
        ({"model": "nonsense"}, "model_missing"),
        ({"model": "wan2.1-t2v-14b"}, "model_missing"),
        ({"media_folder": "relative"}, "folder"),
        ({"media_folder": "/dev/null/wan"}, "folder"),
    ],
)
def test_what_can_not_be_done_is_refused_with_a_sentence(serve, media, changes, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    server = serve()
    error = server.refused("submit", job_id=uuid.uuid4().hex, request=request(media, **changes))
    assert error["code"] == REFUSED and error["data"]["kind"] == kind
    assert error["data"]["sentence"].endswith(".")
    assert server.jobs() == {}
    assert server.call("plan", request=request(media, **changes))["problem"]["kind"] == kind


def test_any_unicode_goes_through(serve, media):
    server = serve()
    odd = media / "a 'quoted' \"folder\" – ünïcode 霧"
    job_id = server.submit(request(odd, "霧 \ud800 fog \x00 🌲"))
    done = server.wait_for(job_id, "done")
    assert done["summary"]["title"] == "霧 fog 🌲"
    assert server.call("details", job_id=job_id)["request"]["prompt"] == "霧   fog   🌲"
    assert (odd / job_id / "0005.png").exists()


def test_a_job_that_can_not_be_made_any_more_fails_in_a_sentence_and_the_next_is_made(serve, media, tmp_path):
    """Its request is damaged; its model is no more in the catalogue; its sources are gone."""
    damaged, unknown, gone, good = (f"{number:032x}" for number in range(4))
    (write_job(tmp_path / "state", damaged, media=media) / "request.json").write_bytes(b'{"request": {"seed": NaN}}')
    write_job(tmp_path / "state", unknown, request=take_request(media, model="no-such-model"))
    source = Source(Role.FIRST, "/no/such/folder", ["a.png"])
    lost = take_request(media, task=Task.IMAGE_TO_VIDEO, sources=[source])
    write_job(tmp_path / "state", gone, request=lost)
    write_job(tmp_path / "state", good, media=media)
    server = serve()
    for job_id, words in ((damaged, "is damaged"), (unknown, "no-such-model"), (gone, "a.png")):
        failed = server.wait_for(job_id, "failed")
        assert words in failed["problem"]["sentence"] and failed["sentence"] == failed["problem"]["sentence"]
    server.wait_for(good, "done")
    assert "damaged" in server.refused("retry", job_id=damaged)["message"]


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        return [int(word) for word in stream.read().split()]


if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)
