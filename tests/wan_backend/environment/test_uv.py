"""What uv does for an environment, with the uv that is pinned and an index on this machine."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wan_backend.environment.local_index import Server, checksum, index_of, reach_to, wheel
from wan_backend.environment import amount, create, reach, uv_install, uv_tool
from wan_backend.environment.causes import SetupFailed
from wan_backend.protocol.messages import ProblemKind

pytestmark = pytest.mark.usefixtures("plain")
NOTHING = "0" * 64


def silent(*_: object) -> None:
    """Hears nothing."""


def test_there_is_a_uv_for_each_system() -> None:
    systems = {
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("win32", "x86_64"),
        ("darwin", "aarch64"),
        ("darwin", "x86_64"),
    }
    assert systems <= {*uv_tool.WHEELS}
    for one in uv_tool.WHEELS.values():
        assert len(one.sha256) == 64 and one.size_bytes > 10_000_000 and one.name.startswith(f"uv-{uv_tool.VERSION}-")
    assert len({one.sha256 for one in uv_tool.WHEELS.values()}) == len(uv_tool.WHEELS)


def stand_in(folder: Path, says: str = f"uv {uv_tool.VERSION}") -> uv_tool.Wheel:
    """A wheel of uv's shape on an index, whose program says its version."""
    found = uv_tool.Wheel("test", "", 0)
    path = folder / found.name
    with zipfile.ZipFile(path, "w") as package:
        program = uv_tool.program_in(folder).name
        package.writestr(f"uv-{uv_tool.VERSION}.data/scripts/{program}", f"#!/bin/sh\necho '{says}'\n")
        package.writestr("uv/__init__.py", "")
    index_of(folder, "uv", path)
    return uv_tool.Wheel("test", checksum(path), path.stat().st_size)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
def test_it_is_fetched_once_and_told_in_bytes(tmp_path: Path, served: Server) -> None:
    pinned, report = stand_in(tmp_path / "served"), []
    reached = reach_to(served.address)
    program = uv_tool.bring(tmp_path / "tools ü", reached, lambda _, amount: report.append(amount), pinned)
    assert program == uv_tool.program_in(tmp_path / "tools ü") and program.stat().st_mode & 0o111
    assert (report[0].done_bytes, report[-1].done_bytes, report[-1].total_bytes) == (
        0,
        pinned.size_bytes,
        pinned.size_bytes,
    )
    assert [path.name for path in program.parent.iterdir()] == [program.name]
    asked = len(served.asked)
    assert uv_tool.bring(tmp_path / "tools ü", reached, silent, pinned) == program and len(served.asked) == asked


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")
def test_another_uv_than_the_pinned_one_is_not_run(tmp_path: Path, served: Server) -> None:
    pinned = stand_in(tmp_path / "served")
    changed = uv_tool.Wheel("test", NOTHING, pinned.size_bytes)
    with pytest.raises(uv_tool.NoTool, match="isn't the one that this version was tested with"):
        uv_tool.bring(tmp_path / "tools", reach_to(served.address), silent, changed)
    assert not uv_tool.program_in(tmp_path / "tools").exists()
    with pytest.raises(uv_tool.NoTool, match="doesn't start"):
        other = stand_in(tmp_path / "served", "uv 0.0.1")
        uv_tool.bring(tmp_path / "tools", reach_to(served.address), silent, other)
    with pytest.raises(uv_tool.NoTool, match="isn't there"):
        uv_tool.bring(tmp_path / "tools", reach_to(f"{served.address}/elsewhere"), silent, pinned)


def test_without_a_network_pip_is_not_tried_either(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match=r"can't be reached\. Check the network") as failed:
        uv_tool.bring(tmp_path, reach_to("http://127.0.0.1:9"), silent, uv_tool.Wheel("test", NOTHING, 1))
    assert failed.value.kind is ProblemKind.OFFLINE


def step(folder: Path, *wheels: Path, sha256: str = "", index: str = "") -> create.InstallStep:
    """What installs the wheels, from a list with checksums."""
    listed = folder / "listed.txt"
    lines = [f"{one.name.partition('-')[0]}==1.0 --hash=sha256:{sha256 or checksum(one)}" for one in wheels]
    listed.write_text("\n".join(lines) + "\n")
    return create.InstallStep("Installing the packages", (*create.LISTED, str(listed)))


def install(
    uv: Path, folder: Path, one: create.InstallStep, way: reach.Reach, report: amount.ReportAmount = silent
) -> None:
    """Do so in `folder`, with a cache beside it."""
    uv_install.install(uv, sys.executable, folder, [one], lambda _: way, folder.parent / "cache", report)


def test_packages_are_fetched_told_and_fetched_once(uv: Path, tmp_path: Path, served: Server) -> None:
    package, report = wheel(tmp_path / "served", "tiny_a", f"text = {'x' * 5000!r}\n"), []
    index_of(tmp_path / "served", "tiny-a", package)
    one, way = step(tmp_path, package), reach_to(served.address, UV_DEFAULT_INDEX=served.address)
    environment = tmp_path / "with space ü"
    (environment / "half").mkdir(parents=True)
    install(uv, environment, one, way, lambda sentence, amount: report.append((sentence, amount)))
    assert not (environment / "half").exists()
    subprocess.run([str(create.python_of(environment)), "-I", "-c", "import tiny_a"], check=True)
    assert report[-1][0] == "Installing the packages"
    asked = [path for path, _ in served.asked if path.endswith(".whl")]
    assert asked
    shutil.rmtree(environment)
    install(uv, environment, one, way)
    assert [path for path, _ in served.asked if path.endswith(".whl")] == asked


def test_an_optional_step_that_fails_costs_nothing_else(uv: Path, tmp_path: Path, served: Server) -> None:
    package = wheel(tmp_path / "served", "tiny_o")
    index_of(tmp_path / "served", "tiny-o", package)
    one = replace(step(tmp_path, package, sha256=NOTHING), optional=True)
    install(uv, tmp_path / "environment", one, reach_to(served.address, UV_DEFAULT_INDEX=served.address))
    assert create.python_of(tmp_path / "environment").exists()


@pytest.mark.parametrize(("sha256", "kind"), [(NOTHING, ProblemKind.CHECKSUM), ("", ProblemKind.SETUP)])
def test_a_wrong_checksum_and_no_build_are_told_apart(
    uv: Path, tmp_path: Path, served: Server, sha256: str, kind: ProblemKind
) -> None:
    package = wheel(tmp_path / "served", "tiny_b")
    if not sha256:
        shutil.copy(package, tmp_path / "served" / "tiny_b-1.0-cp27-cp27m-win32.whl")
        package = tmp_path / "served" / "tiny_b-1.0-cp27-cp27m-win32.whl"
    index_of(tmp_path / "served", "tiny-b", package)
    way = reach_to(served.address, UV_DEFAULT_INDEX=served.address)
    with pytest.raises(
        SetupFailed, match="wasn't used" if sha256 else "no build of tiny-b 1.0 for this machine"
    ) as failed:
        install(uv, tmp_path / "made", step(tmp_path, package, sha256=sha256), way)
    assert failed.value.kind is kind


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}, r"127\.0\.0\.1:9 can't be reached\. Check the network"),
        (
            {"UV_DEFAULT_INDEX": "https://pypi.org/simple", "HTTPS_PROXY": "http://me:secret@127.0.0.1:9"},
            r"pypi\.org can't be reached through the proxy that is set \(http://127\.0\.0\.1:9\)",
        ),
        (
            {"UV_DEFAULT_INDEX": "https://pypi.org/simple", "ALL_PROXY": "socks5h://me:secret@127.0.0.1:9"},
            r"pypi\.org can't be reached through the proxy that is set \(socks5h://127\.0\.0\.1:9\)",
        ),
    ],
)
def test_no_network_and_a_dead_proxy_are_said(
    uv: Path, tmp_path: Path, variables: dict[str, str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    one = step(tmp_path, wheel(tmp_path, "tiny_c"))
    with pytest.raises(SetupFailed, match=words) as failed:
        install(uv, tmp_path / "made", one, reach_to(variables["UV_DEFAULT_INDEX"], **variables))
    assert failed.value.kind is ProblemKind.OFFLINE
    assert "secret" not in str(failed.value) + capfd.readouterr().err


def test_bytes_are_told_of_what_is_whole_and_guessed_of_what_comes(tmp_path: Path) -> None:
    files = [
        [uv_install.File("torch", 0, False)],
        [
            uv_install.File("numpy", 16_000, False),
            uv_install.File("idna", 100, False),
            uv_install.File("old", 50, True),
        ],
    ]
    (tmp_path / ".tmpkilled").mkdir()
    (tmp_path / ".tmpkilled" / "left").write_bytes(bytes(9_000_000))
    coming = uv_install.Coming(tmp_path, files, about_bytes=90_000)
    assert coming.bytes_now() == (50, 90_000)
    coming.receive("Downloading torch (1.0MiB)")
    assert coming.bytes_now() == (50, (1 << 20) + 16_150)
    (tmp_path / ".tmpnew" / "torch").mkdir(parents=True)
    (tmp_path / ".tmpnew" / "torch" / "lib").write_bytes(bytes(500_000))
    assert coming.bytes_now()[0] == 50 + int(500_000 / uv_install.UNPACKED)
    (tmp_path / ".tmpnew" / "torch" / "more").write_bytes(bytes(9_000_000))
    assert coming.bytes_now()[0] == 50 + int((1 << 20) * uv_install.MOST_OF_A_FILE)
    coming.receive(" Downloaded torch")
    assert coming.bytes_now()[0] == 50 + (1 << 20)
    coming.step_is_done(1)
    assert coming.bytes_now() == ((1 << 20) + 16_150,) * 2


def test_a_file_in_the_cache_leaves_nothing_unknown(tmp_path: Path) -> None:
    files = [[uv_install.File("torch", 0, True), uv_install.File("numpy", 16_000, False)]]
    assert uv_install.Coming(tmp_path, files, about_bytes=90_000).bytes_now() == (0, 16_000)


def test_the_time_left_is_that_of_what_came_lately() -> None:
    now = [0.0]
    counting = amount.GrowingAmount(lambda: now[0])
    assert counting.at(0, 1000).seconds_left is None
    now[0] = 10.0
    assert counting.at(100, 1000) == amount.Amount(100, 1000, 90.0)
    assert counting.at(50, 1000).done_bytes == 100  # a guess that was too high isn't taken back
    now[0] = 100.0
    assert counting.at(100, 1000).seconds_left is None


def standalone_python(folder: Path) -> Path:
    """An archive like those of python-build-standalone, of the Python that runs this."""
    version, archive = f"python{sys.version_info[0]}.{sys.version_info[1]}", folder / "python.tar.gz"
    skipped = {"test", "site-packages", "__pycache__", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo"}

    def needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = set(Path(member.name).parts)
        return None if parts & skipped or any(part.startswith("config-") for part in parts) else member

    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as written:
        written.add(Path(sys.base_prefix) / "bin" / version, f"python/bin/{version}")
        written.add(
            sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}),
            f"python/lib/{version}",
            filter=needed,
        )
        shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "none.so")
        if shared.suffix != ".a" and shared.is_file():
            written.add(shared, f"python/lib/{shared.name}")
    return archive


@pytest.mark.skipif(sys.platform != "linux", reason="packs the Python that runs this as Linux has it")
def test_it_brings_a_python_from_a_mirror(
    uv: Path, tmp_path: Path, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, version = standalone_python(tmp_path / "served"), platform.python_version()
    machine = platform.machine()
    known = {
        "name": "cpython", "arch": {"family": machine, "variant": None}, "os": "linux", "libc": "gnu",
        "major": sys.version_info[0], "minor": sys.version_info[1], "patch": sys.version_info[2], "prerelease": "",
        "url": f"{served.address}/python.tar.gz", "sha256": NOTHING, "variant": None, "build": "20260101",
    }  # fmt: skip
    listed = tmp_path / "downloads.json"
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(listed))
    way = reach.find({}, isolated=False)
    listed.write_text(json.dumps({f"cpython-{version}-linux-{machine}-gnu": known}))
    with pytest.raises(SetupFailed, match="isn't the one that this version was tested with") as failed:
        uv_tool.bring_python(uv, tmp_path / "python", way, version)
    assert failed.value.kind is ProblemKind.CHECKSUM
    listed.write_text(json.dumps({f"cpython-{version}-linux-{machine}-gnu": {**known, "sha256": checksum(archive)}}))
    brought = uv_tool.bring_python(uv, tmp_path / "python", way, version)
    assert brought.version == sys.version_info[:2] and (tmp_path / "python") in Path(brought.path).parents
    asked = len(served.asked)
    assert uv_tool.bring_python(uv, tmp_path / "python", way, version) == brought and len(served.asked) == asked
    package = wheel(tmp_path, "tiny_d")
    one = create.InstallStep("Installing", ("--no-index", "--no-deps", str(package)))
    uv_install.install(uv, brought.path, tmp_path / "made", [one], lambda _: way, tmp_path / "cache", silent)
    answer = subprocess.run(
        [str(create.python_of(tmp_path / "made")), "-I", "-c", "import sys, tiny_d; print(sys.base_prefix)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "python") in Path(answer.stdout.strip()).parents
