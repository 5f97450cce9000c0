"""Hostile lines to a real server: each gets its JSON-RPC error, and everything goes on."""

from __future__ import annotations

import json

import pytest

from tests.wan_backend.server.served import request, wait_until
from wan_backend.protocol import PROTOCOL_VERSION
from wan_backend.protocol.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_TOO_LONG,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello\n", PARSE_ERROR),
        (b"\xff\xfe\x00\n", PARSE_ERROR),
        (b"[" * 50_000 + b"\n", PARSE_ERROR),
        (b"[]\n", INVALID_REQUEST),
        (b'{"id": 1, "method": "list"}\n', INVALID_REQUEST),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "list"}\n', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "list"}\n', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}\n', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "nonsense"}\n', METHOD_NOT_FOUND),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "__init__"}\n', METHOD_NOT_FOUND),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "plan"}\n', INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "cancel", "params": {"job_id": 7}}\n', INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "settle", "params": {"job_ids": "x"}}\n', INVALID_PARAMS),
        (b"x" * (2 << 20) + b"\n", LINE_TOO_LONG),
    ],
)
def test_a_wrong_line_is_answered_with_an_error(serve, line, code):
    server = serve()
    server.forget_messages()
    server.send(line)
    answer = server.wait(lambda message: "error" in message)
    assert answer["error"]["code"] == code and answer["error"]["message"].endswith(".")
    assert server.call("list")["jobs"] == []


def test_a_line_of_100_megabytes(serve, media):
    server = serve()
    for _ in range(100):
        server.send(b"x" * (1 << 20))
    server.send(b"\n")
    assert server.wait(lambda message: "error" in message)["error"]["code"] == LINE_TOO_LONG
    with open(f"/proc/{server.process.pid}/status") as status:
        (peak_kib,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
    assert peak_kib < 100_000
    server.wait_for(server.submit(request(media)), "done")


def test_notifications_are_done_and_not_answered(serve):
    server = serve()
    server.send(b'{"jsonrpc": "2.0", "method": "nonsense"}\n{"jsonrpc": "2.0", "method": "shutdown"}\n')
    server.process.wait(30)
    assert not [message for message in server.messages if "error" in message]


def test_an_answer_nobody_asked_for_is_passed_over(serve):
    server = serve()
    server.send(b'{"jsonrpc": "2.0", "id": 1, "result": 3}\n{"jsonrpc": "2.0", "id": 1, "error": {"code": 3}}\n')
    assert server.call("list")["jobs"] == []


def test_many_calls_at_once_are_all_answered_once(serve, media):
    """Plans that nobody waits for any more as refusals; so the order is not that of the calls."""
    server = serve()
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": f"n{n}", "method": "plan", "params": {"request": request(media)}})
        for n in range(2000)
    ]
    server.send("\n".join(lines).encode() + b"\n")

    def answered() -> list[str]:
        return [message["id"] for message in server.messages if str(message.get("id", "")).startswith("n")]

    wait_until(lambda: len(answered()) >= 2000)
    assert sorted(answered()) == sorted(f"n{n}" for n in range(2000))


def test_a_client_that_does_not_read_for_a_while_loses_no_answer(tmp_path, models_folder, media):
    import subprocess
    import sys

    from tests.wan_backend.server.served import ROOT

    process = subprocess.Popen(
        [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "s")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    hello = b'{"jsonrpc": "2.0", "id": "h", "method": "hello", "params": {"protocol": %d}}\n' % PROTOCOL_VERSION
    process.stdin.write(hello + b'{"jsonrpc": "2.0", "id": 1, "method": "models"}\n' * 500)
    process.stdin.flush()
    found = 0
    while found < 500:
        found += json.loads(process.stdout.readline()).get("id") == 1
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
