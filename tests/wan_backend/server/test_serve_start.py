"""The server's start: quick, light, and greeted first."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tests.wan_backend.server.served import ROOT
from wan_backend.protocol import PROTOCOL_VERSION
from wan_backend.protocol.errors import INVALID_REQUEST, WRONG_VERSION
from wan_backend.protocol.messages import Task
from wan_backend.protocol.methods import SERVER_METHODS
from wan_backend.server.handlers import Handlers

HEAVY = ["torch", "diffusers", "transformers", "numpy", "huggingface_hub", "cv2", "imageio", "av", "bpy"]


def test_it_answers_within_a_second(serve):
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy with other things
        server = serve()
        seconds.append(time.monotonic() - server.started)
        server.close()
    assert min(seconds) < 1.0


def test_it_answers_within_a_second_with_200_jobs_on_disk(serve, tmp_path):
    from tests.wan_backend.job_queue.written_jobs import write_job

    for number in range(200):
        write_job(tmp_path / "state", f"{number:032x}", state="done")
    server = serve()
    seconds = time.monotonic() - server.started
    assert len(server.jobs()) == 200
    assert seconds < 1.0


def test_it_imports_nothing_heavy():
    code = (
        "import sys, json, wan_backend.__main__, wan_backend.server.serve as s, wan_backend.models.catalogue as c;"
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
        if method != "hello":
            assert server.refused(method)["code"] == INVALID_REQUEST
    assert server.refused("hello", protocol=99)["code"] == WRONG_VERSION
    assert "update the backend" in server.refused("hello", protocol=99)["message"]
    assert "update the add-on" in server.refused("hello", protocol=0)["message"]
    assert server.refused("list")["code"] == INVALID_REQUEST
    server.call("hello", protocol=PROTOCOL_VERSION)
    assert server.call("list") == {"jobs": []}


def test_every_method_has_a_handler():
    for name in SERVER_METHODS:
        assert callable(getattr(Handlers, name))


def test_models_are_listed(serve):
    rows = {row["model"]: row for row in serve().call("models")["models"]}
    assert rows["embedded"]["here"] and rows["embedded"]["frame_rate"]["fps"] == 16
    assert [size["name"] for size in rows["embedded"]["sizes"] if size.get("default")] in (["144p"], [])
    assert rows["wan2.1-t2v-14b"]["licence"] == "Apache-2.0"


def test_doctor_answers_while_other_calls_go_on(serve):
    server = serve()
    server.wait_for_worker("ready")
    topics = {finding["topic"]: finding for finding in server.call("doctor")["findings"]}
    assert topics["python"]["good"] and "fake" in topics["torch"]["sentence"]
    assert topics["model embedded"]["good"]
    assert topics["kept"]["good"] and "finished steps" in topics["kept"]["sentence"]


def test_a_state_folder_that_is_a_file_is_said_so(tmp_path):
    (tmp_path / "state").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "state")],
        cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert b"can't be used" in done.stderr and done.stderr.count(b"\n") == 1
