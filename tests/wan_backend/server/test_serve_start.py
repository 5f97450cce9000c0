"""The server's start: quick, light, and greeted first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.wan_backend.job_queue.written_jobs import take_request, write_jobs
from tests.wan_backend.server.served import ROOT, wait_until
from wan_backend.protocol import PROTOCOL_VERSION
from wan_backend.protocol.errors import INVALID_REQUEST, WRONG_VERSION
from wan_backend.protocol.messages import Role, Source, Task
from wan_backend.protocol.methods import SERVER_METHODS
from wan_backend.server.handlers import Handlers

SLOW_READING = Path(__file__).with_name("slow_reading")
"""A folder for PYTHONPATH: the server waits in the middle of something until a file is there."""
HEAVY = ["torch", "diffusers", "transformers", "numpy", "huggingface_hub", "cv2", "imageio", "av", "bpy"]


def footage(pictures: int) -> Source:
    names = [f"sq010_sh040_v003.{number:04d}.png" for number in range(pictures)]
    return Source(Role.FOOTAGE, "/films/the_lake/shots/010", names, frames=pictures)


def test_many_jobs_on_disk_are_all_listed_page_by_page(serve, tmp_path):
    """Far more than one line can hold; those of a shot of many pictures are no longer than others."""
    request = take_request(tmp_path, prompt="A red fox crosses a frozen lake. " * 100, sources=[footage(2000)])
    ids = write_jobs(tmp_path / "state", ["done", "failed", "cancelled"] * 500, request)
    server = serve()
    assert list(server.jobs()) == ids[::-1]
    pages = [message["result"] for message in server.messages if "jobs" in message.get("result", {})]
    assert len(pages) == 15 and all(len(page["jobs"]) == 100 for page in pages)
    details = server.call("details", job_id=ids[7])
    assert details["request"]["prompt"] == request.prompt and details["plan"]["model"] == "embedded"
    assert server.call("clear", job_ids=ids)["job_ids"] == ids
    assert server.jobs() == {} and not list((tmp_path / "state" / "jobs").iterdir())


def test_hello_does_not_wait_for_the_jobs_on_disk(serve, tmp_path):
    """It is answered while a state can't be read, as its disk does not answer; the list waits for that."""
    write_jobs(tmp_path / "state", ["done"] * 3)
    slow = {"PYTHONPATH": f"{SLOW_READING}{os.pathsep}{ROOT}", "SLOW_READING_UNTIL": str(tmp_path / "go on")}
    server = serve(**slow)
    server.send(b'{"jsonrpc": "2.0", "id": "l", "method": "list"}\n')
    assert server.call("models")["models"]
    assert not [message for message in server.messages if message.get("id") == "l"]
    (tmp_path / "go on").touch()
    assert len(server.wait(lambda message: message.get("id") == "l")["result"]["jobs"]) == 3


def test_ping_is_answered_while_the_main_thread_is_busy(serve, tmp_path):
    stuck = {"PYTHONPATH": f"{SLOW_READING}{os.pathsep}{ROOT}", "SLOW_SHUTDOWN_UNTIL": str(tmp_path / "go on")}
    server = serve(greet=False, **stuck)
    assert set(server.call("ping")) == {"busy_seconds", "busy_with"}
    server.send(b'{"jsonrpc": "2.0", "id": "h", "method": "hello", "params": {"protocol": %d}}\n' % PROTOCOL_VERSION)
    server.wait(lambda message: message.get("id") == "h")
    server.send(b'{"jsonrpc": "2.0", "id": "s", "method": "shutdown"}\n')
    wait_until(lambda: server.call("ping")["busy_with"] == "shutdown")
    first, second = server.call("ping"), server.call("ping")
    assert 0 < first["busy_seconds"] <= second["busy_seconds"]
    assert server.process.poll() is None
    (tmp_path / "go on").touch()
    assert server.process.wait(30) == 0


def test_a_ping_that_is_oddly_written_is_answered_too(serve):
    server = serve()
    server.send(b'{"jsonrpc": "2.0", "params": {"x": "' + b"y" * 500 + b'"}, "id": "p", "method": "ping"}\n')
    assert server.wait(lambda message: message.get("id") == "p")["result"]["busy_seconds"] == 0


def test_it_imports_nothing_heavy():
    code = (
        "import sys, json, wan_backend.__main__, wan_backend.server.serve as s, wan_backend.catalogue.entries as c;"
        "from wan_backend.server.planner import Planner; Planner([], None).rows();"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_hello_says_who_answers(serve, tmp_path):
    server = serve(greet=False)
    hello = server.call("hello", protocol=PROTOCOL_VERSION, client="a test", later_addition=1)
    assert hello["protocol"] == PROTOCOL_VERSION and hello["pid"] == server.process.pid
    assert hello["tasks"] == list(Task)
    assert hello["state_folder"] == str(tmp_path / "state")
    assert hello["log"].endswith("server.log")


def test_nothing_is_done_before_hello(serve):
    server = serve(greet=False)
    for method in SERVER_METHODS:
        if method not in ("hello", "ping"):
            assert server.refused(method)["code"] == INVALID_REQUEST
    assert server.refused("hello", protocol=99)["code"] == WRONG_VERSION
    assert "update the backend" in server.refused("hello", protocol=99)["message"]
    assert "update the add-on" in server.refused("hello", protocol=0)["message"]
    assert server.refused("list")["code"] == INVALID_REQUEST
    server.call("hello", protocol=PROTOCOL_VERSION)
    assert server.call("list")["jobs"] == []


def test_every_method_has_a_handler():
    for name in SERVER_METHODS:
        assert callable(getattr(Handlers, name))


def test_models_are_listed(serve):
    rows = {row["model"]: row for row in serve().call("models")["models"]}
    assert rows["embedded"]["here"] and rows["embedded"]["frame_rate"]["fps"] == 16
    assert [size["name"] for size in rows["embedded"]["sizes"] if size.get("default")] in (["144p"], [])
    assert rows["wan2.1-t2v-14b"]["licence"] == "Apache-2.0"


def test_doctor_answers_while_other_calls_go_on(serve, tmp_path):
    findings, state = tmp_path / "findings", tmp_path / "state"
    left = [findings / "kernels.json.abcdefgh.tmp", state / "downloads" / "a.json.abcdefgh.tmp"]
    for file in (findings / "copies" / "1" / "weights", *left):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(3_000_000))
        os.utime(file, (1000.0, 1000.0))
    server = serve("--findings", str(findings))
    server.wait_for_worker("ready")
    topics = {finding["topic"]: finding for finding in server.call("doctor")["findings"]}
    assert topics["python"]["good"] and "fake" in topics["torch"]["sentence"]
    assert topics["model embedded"]["good"]
    assert topics["kept"]["good"] and "finished steps" in topics["kept"]["sentence"]
    assert f"3 MB in {findings}" in topics["copies"]["sentence"]
    wait_until(lambda: not any(file.exists() for file in left))  # what killed writers left


def test_a_state_folder_that_is_a_file_is_said_so(tmp_path):
    (tmp_path / "state").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "state")],
        cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert b"can't be used" in done.stderr and done.stderr.count(b"\n") == 1
