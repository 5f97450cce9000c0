"""Fetching one file: resumed, compared, through SOCKS, and the cause where it fails."""

from __future__ import annotations

import hashlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar

import pytest

from tests.wan_backend.environment.local_index import Server, index_of, reach_to
from wan_backend.environment import causes, index_file, socks
from wan_backend.protocol.messages import ProblemKind

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()
pytestmark = pytest.mark.usefixtures("plain")


@pytest.fixture
def address(tmp_path: Path, served: Server) -> str:
    """Of a file that an index has."""
    file = tmp_path / "served" / "thing-1+a.whl"
    file.write_bytes(CONTENT)
    index_of(tmp_path / "served", "thing", file)
    return index_file.find(reach_to(served.address), "thing", "thing-1+a.whl")


def test_it_is_found_on_the_page_of_an_index(address: str, served: Server) -> None:
    assert address == f"{served.address}/thing-1+a.whl"
    with pytest.raises(index_file.NoSuchFile, match=r"other\.whl isn't on"):
        index_file.find(reach_to(served.address), "thing", "other.whl")
    with pytest.raises(index_file.NoSuchFile, match="isn't there"):
        index_file.find(reach_to(served.address), "nothing", "thing-1+a.whl")


def test_it_goes_on_after_a_break(address: str, served: Server, tmp_path: Path) -> None:
    received: list[int] = []
    served.stop_after = 300_000
    index_file.fetch(reach_to(served.address), address, tmp_path / "got", DIGEST, received.append, 0.0)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert served.asked[-1][1] == "bytes=300000-"
    assert received == sorted(received) and received[-1] == len(CONTENT)


def test_it_goes_on_after_a_kill_and_a_rotten_part_is_noticed(address: str, served: Server, tmp_path: Path) -> None:
    (tmp_path / "got.part").write_bytes(CONTENT[:1000])
    index_file.fetch(reach_to(served.address), address, tmp_path / "got", DIGEST, lambda _: None)
    assert (tmp_path / "got").read_bytes() == CONTENT and served.asked[-1][1] == "bytes=1000-"
    (tmp_path / "rotten.part").write_bytes(b"rotten")
    with pytest.raises(index_file.OtherFile):
        index_file.fetch(reach_to(served.address), address, tmp_path / "rotten", DIGEST, lambda _: None)
    assert not (tmp_path / "rotten").exists() and not (tmp_path / "rotten.part").exists()


def test_what_has_another_checksum_gets_no_name(address: str, served: Server, tmp_path: Path) -> None:
    with pytest.raises(index_file.OtherFile) as failed:
        index_file.fetch(reach_to(served.address), address, tmp_path / "got", "0" * 64, lambda _: None)
    assert list(tmp_path.glob("got*")) == []
    failure = causes.of_error("Fetching it", failed.value, reach_to(served.address), tmp_path)
    assert failure.kind is ProblemKind.CHECKSUM and "wasn't used" in str(failure)


class Socks(socketserver.StreamRequestHandler):
    """A SOCKS 5 proxy that wants a login."""

    login = b"\x01\x02me\x06secret"
    asked: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.rfile.read(4)
        self.wfile.write(b"\x05\x02")
        if self.rfile.read(1 + 1) + self.rfile.read(2) + self.rfile.read(1) != self.login[:5]:
            return
        good = self.rfile.read(6) == self.login[5:]
        self.wfile.write(b"\x01\x00" if good else b"\x01\x01")
        if not good:
            return
        name = self.rfile.read(self.rfile.read(5)[4])
        self.asked.append(name)
        (port,) = struct.unpack(">H", self.rfile.read(2))
        self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
        with socket.create_connection((name.decode(), port)) as theirs:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += self.rfile.readline()
            theirs.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
            while piece := theirs.recv(65536):
                self.wfile.write(piece)


@pytest.fixture
def proxy() -> Iterator[str]:
    """The place of one."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Socks)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_through_a_socks_proxy_with_a_login(address: str, served: Server, proxy: str, tmp_path: Path) -> None:
    way = reach_to(served.address, ALL_PROXY=f"socks5h://me:secret@{proxy}")
    index_file.fetch(way, address, tmp_path / "got", DIGEST, lambda _: None)
    assert (tmp_path / "got").read_bytes() == CONTENT and Socks.asked[-1] == b"127.0.0.1"
    wrong = reach_to(served.address, ALL_PROXY=f"socks5h://me:others@{proxy}")
    with pytest.raises(OSError, match="refuses this login") as failed:
        index_file.fetch(wrong, address, tmp_path / "none", DIGEST, lambda _: None)
    sentence = str(causes.of_error("Fetching it", failed.value, wrong, tmp_path))
    assert f"the proxy (socks5h://{proxy}) requires a login" in sentence and "others@" not in sentence


def test_what_is_no_socks_proxy_is_said_to_be_none() -> None:
    def answer() -> None:
        theirs, _ = listening.accept()
        with theirs:
            theirs.sendall(b"HTTP/1.1 400 Bad\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(OSError, match="is no SOCKS 5 proxy"):
            socks.connect(f"socks5://127.0.0.1:{listening.getsockname()[1]}", "example.org", 443, 5.0)
        answering.join()
    with pytest.raises(OSError, match="SOCKS 4"):
        socks.connect("socks4://127.0.0.1:1", "example.org", 443, 5.0)


def test_no_network_and_a_dead_proxy_are_told_apart(tmp_path: Path) -> None:
    nowhere = reach_to("http://127.0.0.1:9/simple")
    behind = reach_to("https://pypi.org/simple", HTTPS_PROXY="http://me:secret@127.0.0.1:9")
    with pytest.raises((OSError, HTTPException)) as failed:
        index_file.find(nowhere, "uv", "x")
    failure = causes.of_error("Fetching uv", failed.value, nowhere, tmp_path)
    assert failure.kind is ProblemKind.OFFLINE and "127.0.0.1:9 can't be reached. Check the network" in str(failure)
    with pytest.raises((OSError, HTTPException)) as failed:
        index_file.find(behind, "uv", "x")
    sentence = str(causes.of_error("Fetching uv", failed.value, behind, tmp_path))
    assert "pypi.org can't be reached through the proxy that is set (http://127.0.0.1:9)" in sentence


def test_a_certificate_and_a_full_disk_are_not_tried_again(tmp_path: Path) -> None:
    import urllib.error

    refused = urllib.error.URLError(ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))
    assert not index_file.may_pass(refused) and not index_file.may_pass(OSError(28, "No space left on device"))
    assert index_file.may_pass(ConnectionResetError()) and index_file.may_pass(TimeoutError())
    sentence = str(causes.of_error("Fetching uv", refused, reach_to("https://pypi.org/simple"), tmp_path))
    assert "pypi.org can't be verified" in sentence
    full = causes.of_error("Fetching uv", OSError(28, "No space left on device"), reach_to("https://x/"), tmp_path)
    assert full.kind is ProblemKind.DISK_FULL and "is full" in str(full)
