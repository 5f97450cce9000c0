"""Takes that are made on another machine: footage goes over by content, the take comes home, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.wan_backend.server.fake_worker import png
from tests.wan_backend.server.served import request, wait_until
from wan_backend.protocol.messages import Role, Task


def take_of(media: Path, job_id: str) -> Path:
    """The folder of a job's take, known by its settings."""
    found = [f.parent for f in media.glob("*/take.json") if json.loads(f.read_bytes())["job_id"] == job_id]
    assert len(found) == 1, list(media.glob("*"))
    return found[0]


def footage(folder: Path, files: int = 3, size: int = 50_000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"{number + 1:04d}.png").write_bytes(os.urandom(size))
    return folder


def restyle(media: Path, shot: Path, prompt: str = "fog", **changes):
    names = sorted(file.name for file in shot.iterdir())
    source = {"role": Role.FOOTAGE, "folder": str(shot), "files": names, "frames": len(names)}
    return request(media, prompt, task=Task.RESTYLE, sources=[source], length_frames=len(names), **changes)


def sent(tmp_path: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (tmp_path / "far/sent/contents").glob("*") if f.suffix != ".part"}


def test_a_take_comes_home_with_this_machines_paths(relay, media, tmp_path):
    near = relay()
    job_id = near.submit(request(media, "fog", length_frames=7))
    done = near.wait_for(job_id, "done")
    folder = take_of(media, job_id)
    assert done["take"]["folder"] == str(folder)
    assert len(list(folder.glob("*.png"))) == 7
    settings = json.loads((folder / "take.json").read_bytes())
    assert settings["request"]["media_folder"] == str(media) and settings["take"]["folder"] == str(folder)
    assert near.call("details", job_id=job_id)["request"]["media_folder"] == str(media)
    assert near.jobs()[job_id]["take"]["folder"] == str(folder)
    assert not list((tmp_path / "near/arriving").iterdir())
    wait_until(lambda: not list((tmp_path / "far/sent/takes").glob("*/*")))  # it need not lie twice


def test_footage_is_sent_by_content_and_only_once(relay, media, tmp_path):
    near = relay()
    shot = footage(tmp_path / "shot")
    job_id = near.submit(restyle(media, shot))
    near.wait_for(job_id, "done")
    assert sorted(sent(tmp_path).values()) == sorted(f.read_bytes() for f in shot.iterdir())
    times = {f: f.stat().st_ctime_ns for f in (tmp_path / "far/sent/contents").iterdir()}
    os.rename(shot, tmp_path / "renamed")
    again = near.submit(restyle(media, tmp_path / "renamed"))
    near.wait_for(again, "done")
    assert len(sent(tmp_path)) == 3 == len(times)
    asked = near.call("details", job_id=again)["request"]["sources"][0]
    assert asked["folder"] == str(tmp_path / "renamed")
    assert json.loads((take_of(media, again) / "take.json").read_bytes())["request"]["sources"][0]["folder"] == str(
        tmp_path / "renamed"
    )


def test_of_pictures_only_those_that_are_read_are_sent(relay, media, tmp_path):
    near = relay()
    shot = footage(tmp_path / "shot", 5)
    asked = restyle(media, shot)
    asked["sources"][0] |= {"files": ["0002.png", "0002.png", "0004.png"], "frames": 3}
    near.wait_for(near.submit({**asked, "length_frames": 3}), "done")
    assert sorted(sent(tmp_path).values()) == sorted((shot / f"000{n}.png").read_bytes() for n in (2, 4))


@pytest.mark.parametrize("fault", ["--break-after", "--stall-after"])
def test_a_line_that_ends_in_the_middle_loses_nothing_and_sends_nothing_twice(relay, media, tmp_path, fault):
    near = relay("--stalled-seconds", "2", line=(fault, "400000", "--once", str(tmp_path / "fault")))
    shot = footage(tmp_path / "shot", 1, 1_000_000)
    job_id = near.submit(restyle(media, shot))
    near.wait_for(job_id, "done")
    assert (tmp_path / "fault").exists()
    assert list(sent(tmp_path).values()) == [f.read_bytes() for f in shot.iterdir()]
    take_of(media, job_id)
    told = [m["params"] for m in near.messages if m.get("method") == "link"]
    assert any(not link["connected"] and "box" in link["sentence"] for link in told)
    assert told[-1]["connected"]


def test_a_take_that_breaks_off_on_its_way_home_goes_on(relay, media, tmp_path):
    near = relay(line=("--break-after", "60000", "--once", str(tmp_path / "fault")), serve=("--stay",))
    job_id = near.submit(request(media, "frames:600", length_frames=600))
    near.wait_for(job_id, "done")
    assert (tmp_path / "fault").exists()
    assert len(list(take_of(media, job_id).glob("*.png"))) == 600


def test_a_take_comes_home_as_it_is_written(relay, media, tmp_path):
    near = relay()
    job_id = near.submit(request(media, "slow:0.4", length_frames=8))
    wait_until(lambda: bool(list((tmp_path / "near/arriving" / job_id).glob("*.png"))))
    assert not list((tmp_path / "far/sent/takes").glob("*/*/take.json")), "it is still being made"
    near.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 8


@pytest.mark.long
def test_of_two_windows_one_fetches_and_the_other_does_once_that_is_gone(relay, media, tmp_path):
    one, two = relay(serve=("--stay",)), relay(serve=("--stay",))
    for asks in (two, one):
        job_id = asks.submit(request(media))
        for window in (one, two):
            window.call("list")
            done = window.wait_for(job_id, "done")
            assert done["take"]["folder"] == str(take_of(media, job_id))
    job_id = two.submit(request(media, "slow:0.3", length_frames=8))
    two.wait_for(job_id, "loading", "encoding", "denoising", "decoding")
    one.kill()
    two.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 8 and not list((tmp_path / "near/arriving").iterdir())


def test_a_slow_line_keeps_nobody_waiting(relay, media, tmp_path):
    """1 Mbit/s: while a megabyte goes over, other calls are answered, and bytes are reported."""
    near = relay(line=("--mbit", "1"))
    shot = footage(tmp_path / "shot", 1, 500_000)
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    line = {"jsonrpc": "2.0", "id": "s", "method": "submit"}
    params = {"job_id": uuid.uuid4().hex, "request": restyle(media, shot)}
    near.send(json.dumps({**line, "params": params}).encode() + b"\n")
    near.wait(lambda m: m.get("method") == "link" and 0 < m["params"]["done_bytes"] < m["params"]["total_bytes"])
    near.call("list")
    assert not any(m.get("id") == "s" for m in near.messages)  # it was answered while the footage was on its way
    near.wait_for(params["job_id"], "done")


def test_a_take_lands_after_blender_was_closed_before_it_came(relay, media, tmp_path):
    near = relay(serve=("--stay",))
    job_id = near.submit(request(media, "slow:0.1 frames:20", length_frames=20))
    near.wait_for(job_id, "loading", "encoding", "denoising", "decoding")
    near.end_stdin()
    wait_until(lambda: bool(list((tmp_path / "far/sent/takes").glob("*/*/take.json"))))  # made with nobody there
    assert not media.exists() or not list(media.iterdir())
    again = relay(serve=("--stay",))
    again.call("list")
    again.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 20


def test_folders_that_both_see_are_named_and_nothing_is_sent(relay, media, tmp_path):
    share = tmp_path / "share"
    shot = footage(share / "shot")
    (tmp_path / "mounted").symlink_to(share)
    near = relay("--pair", str(tmp_path / "mounted"), str(share))
    asked = restyle(tmp_path / "mounted/takes", tmp_path / "mounted/shot")
    asked["sources"][0]["files"] = sorted(f.name for f in shot.iterdir())
    job_id = near.submit(asked)
    done = near.wait_for(job_id, "done")
    assert not sent(tmp_path) and done["take"]["folder"].startswith(str(tmp_path / "mounted/takes"))
    assert near.call("details", job_id=job_id)["request"]["sources"][0]["folder"] == str(tmp_path / "mounted/shot")


@pytest.mark.parametrize(
    ("far", "words"),
    [
        pytest.param("nowhere", "box has no folder", marks=pytest.mark.long, id="no such folder"),
        pytest.param("empty", "as it lacks what lies in that", id="a share that isn't mounted"),
    ],
)
def test_a_pair_that_maps_nowhere_is_a_sentence_and_nothing_is_made(relay, tmp_path, far, words):
    share = tmp_path / "share"
    footage(share / "shot")
    (tmp_path / "empty").mkdir()
    near = relay("--pair", str(share), str(tmp_path / far))
    refused = near.refused("submit", job_id=uuid.uuid4().hex, request=restyle(share / "takes", share / "shot"))
    assert words in refused["message"] and str(share) in refused["message"]
    assert not near.jobs() and not list((tmp_path / "empty").iterdir()) and not (tmp_path / "nowhere").exists()


def test_a_pair_that_this_machine_lacks_is_a_sentence(relay, tmp_path):
    near = relay("--pair", str(tmp_path / "not mounted"), str(tmp_path))
    asked = request(tmp_path / "not mounted/takes", "fog")
    refused = near.refused("submit", job_id=uuid.uuid4().hex, request=asked)
    assert "is not on this machine" in refused["message"] and not (tmp_path / "not mounted").exists()


@pytest.mark.parametrize("days", [pytest.param(-1, marks=pytest.mark.long), 1])
def test_clocks_that_differ_by_a_day_change_nothing(relay, far_command, media, tmp_path, days):
    """Over there it is yesterday, or tomorrow; a line breaks on the way, so that both sides compare what they have."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(
        f"import time\nreal, real_ns = time.time, time.time_ns\ntime.time = lambda: real() + {days * 86400}\n"
        f"time.time_ns = lambda: real_ns() + {days * 86400} * 10**9\n"
    )
    far = far_command("--stay")
    far[1] += f":{tmp_path / 'clock'}"
    near = relay(far=far, line=("--break-after", "60000", "--once", str(tmp_path / "fault")))
    shot = footage(tmp_path / "shot", 2)
    for _ in range(2):
        near.wait_for(near.submit(restyle(media, shot)), "done")
    assert (tmp_path / "fault").exists() and len(sent(tmp_path)) == 2
    assert len(list(media.glob("*/take.json"))) == 2
    log = tmp_path / "far/logs/server.log"
    said = datetime.fromisoformat(log.read_text()[:19]).timestamp()
    assert abs(said - log.stat().st_mtime) > 40_000, "the server there has this machine's clock"
    assert all(job["state"] == "done" for job in near.jobs().values())


@contextlib.contextmanager
def small(folder: Path, size: str) -> Iterator[Path]:
    """The folder, on a disk of that size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """The far side's state lies on a disk of 20 MB."""
    with small(tmp_path / "far", "20m"):
        yield


def test_no_room_over_there_is_a_sentence_and_nothing_is_lost(small_disk, relay, media, tmp_path):
    near = relay()
    large = restyle(media, footage(tmp_path / "large", 1, 30_000_000))
    refused = near.refused("submit", job_id=uuid.uuid4().hex, request=large)
    assert refused["data"]["kind"] == "disk_full"
    assert refused["message"].startswith("On box: ") and "make room there" in refused["message"]
    assert not near.jobs()
    for part in (tmp_path / "far/sent/contents").iterdir():
        part.unlink()  # room is made
    near.wait_for(near.submit(restyle(media, footage(tmp_path / "shot"))), "done")


def test_no_room_here_is_not_said_of_the_other_machine(relay, tmp_path):
    near = relay()
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    (tmp_path / "a file").touch()
    problem = near.call("plan", request=request(tmp_path / "a file"))["problem"]
    assert problem["kind"] == "folder" and "box" not in problem["sentence"], problem


@pytest.fixture
def small_disk_here(tmp_path):
    """This machine's state lies on a disk of 2 MB."""
    with small(tmp_path / "near", "2m") as folder:
        yield folder


@pytest.mark.long
def test_a_take_for_which_there_is_no_room_here_waits_over_there_until_there_is(
    small_disk_here, relay, media, tmp_path
):
    """The disk has room for a part of a frame, and takes that part before it says that it is full."""
    near = relay(serve=("--stay",))
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    job_id = near.submit(request(media, "slow:0.5", width=1024, height=512, length_frames=5))
    filler = small_disk_here / "filler"
    with open(filler, "wb") as stream, contextlib.suppress(OSError):
        stream.write(bytes((os.statvfs(small_disk_here).f_bavail - 2) * 4096))
    for told in ("link", "progress"):
        near.wait(lambda m, told=told: m.get("method") == told and "not come home yet" in m["params"]["sentence"])
    assert not list(media.glob("*/take.json")) and near.jobs()[job_id]["state"] == "decoding"
    assert list((tmp_path / "far/sent/takes").glob("*/*/take.json"))
    filler.unlink()
    take = near.wait_for(job_id, "done")["take"]
    made = [png(take["width"], take["height"], index) for index in range(5)]
    assert [file.read_bytes() for file in sorted(take_of(media, job_id).glob("*.png"))] == made


def test_footage_that_is_gone_is_a_sentence(relay, media, tmp_path):
    near = relay()
    shot = footage(tmp_path / "shot")
    asked = restyle(media, shot)
    (shot / "0002.png").unlink()
    refused = near.refused("submit", job_id=uuid.uuid4().hex, request=asked)
    assert "0002.png" in refused["message"] and "can't be sent" in refused["message"]


def test_a_take_that_is_made_again_replaces_the_first(relay, media):
    near = relay()
    job_id = near.submit(request(media, "fog"))
    near.wait_for(job_id, "done")
    near.forget_messages()
    near.call("retry", job_id=job_id)
    near.wait_for(job_id, "done")
    take_of(media, job_id)


def test_a_canceled_job_sends_no_more(relay, media, tmp_path):
    near = relay(line=("--mbit", "0.5"))
    shot = footage(tmp_path / "shot", 1, 3_000_000)
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    job_id = uuid.uuid4().hex
    line = {"jsonrpc": "2.0", "id": "s", "method": "submit"}
    near.send(json.dumps({**line, "params": {"job_id": job_id, "request": restyle(media, shot)}}).encode() + b"\n")
    near.wait(lambda m: m.get("method") == "link" and m["params"]["total_bytes"])
    near.refused("cancel", job_id=job_id)  # the other machine has no such job
    assert near.wait(lambda m: m.get("id") == "s")["error"]["data"]["kind"] == "cancelled"


def test_plans_say_what_the_other_machine_says(relay, media, tmp_path):
    near = relay()
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    plan = near.call("plan", request=restyle(media, footage(tmp_path / "shot")))
    assert plan["problem"] is None and plan["take_frames"] == 3
    assert not (tmp_path / "far/sent/contents").exists()


def test_no_machine_is_a_sentence_and_plans_say_it(relay, media):
    near = relay(far=["no-such-program", "serve"])
    link = near.wait(lambda m: m.get("method") == "link")["params"]
    assert not link["connected"] and "no-such-program can't be run" in link["sentence"]
    refused = near.refused("plan", request=request(media))
    assert refused["data"]["kind"] == "offline" and refused["message"] == link["sentence"]


def test_a_take_that_is_gone_over_there_is_a_sentence_and_can_be_made_again(relay, media, tmp_path):
    near = relay(serve=("--stay",))
    job_id = near.submit(request(media, "slow:0.1 frames:8", length_frames=8))
    near.wait_for(job_id, "loading", "encoding", "denoising", "decoding")
    near.end_stdin()
    wait_until(lambda: bool(list((tmp_path / "far/sent/takes").glob("*/*/take.json"))))
    (settings,) = (tmp_path / "far/sent/takes").glob("*/*/take.json")
    settings.unlink()
    again = relay(serve=("--stay",))
    again.call("list")
    failed = again.wait_for(job_id, "failed")
    assert "no longer whole on box: retry its job" in failed["problem"]["sentence"]
    again.forget_messages()
    again.call("retry", job_id=job_id)
    again.wait_for(job_id, "done")
    assert len(list(take_of(media, job_id).glob("*.png"))) == 8


def test_a_request_that_the_other_machine_refuses_is_refused_here(relay, media):
    refused = relay().refused("submit", job_id=uuid.uuid4().hex, request=request(media, model="no such model"))
    assert refused["data"]["kind"] == "model_missing"


def test_a_paused_queue_is_paused_over_there(relay, media):
    near = relay("--paused")
    job_id = near.submit(request(media))
    near.call("pause", paused=True)
    assert near.jobs()[job_id]["state"] == "queued"
    near.call("pause", paused=False)
    near.wait_for(job_id, "done")


def test_another_version_over_there_says_which_command_updates_it(relay, tmp_path):
    error = {"code": -32002, "message": "The backend speaks version 4 of the protocol."}
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
    near = relay(far=["sh", "-c", f"read line; echo 'Welcome to box'; echo '{answer}'; sleep 60"])
    link = near.wait(lambda m: m.get("method") == "link" and "Connecting" not in m["params"]["sentence"])["params"]
    assert "has another version" in link["sentence"] and "pip install --upgrade wan_backend-" in link["sentence"]


@pytest.mark.long
def test_a_line_that_breaks_again_and_again_brings_all_over_in_the_end(relay, media, tmp_path):
    near = relay(line=("--break-after", "400000"), serve=("--stay",))
    shot = footage(tmp_path / "shot", 1, 800_000)
    job_id = near.submit(restyle(media, shot, "frames:300"))
    near.wait_for(job_id, "done")
    assert list(sent(tmp_path).values()) == [f.read_bytes() for f in shot.iterdir()]
    assert len(list(take_of(media, job_id).glob("*.png"))) == 300
    broken = [m for m in near.messages if m.get("method") == "link" and "broke" in m["params"]["sentence"]]
    assert len(broken) > 1
