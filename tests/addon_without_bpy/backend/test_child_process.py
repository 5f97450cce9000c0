"""A child that never makes its parent wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.ci


@pytest.fixture
def start(addon, tmp_path):
    """start(program) runs Python code as a child; all are gone after the test."""
    module, made = addon("backend.child_process"), []

    def start(program: str):
        environment = addon("backend.launch_command").child_environment(tmp_path)
        command = addon("backend.launch_command").BackendCommand([sys.executable, "-c", program], environment)
        made.append(module.ChildProcess(command, tmp_path / "run", "server"))
        return made[-1]

    yield start
    for child in made:
        child.end_now()


def lines(child, count: int, seconds: float = 30.0) -> list[bytes]:
    said = b""
    end = time.monotonic() + seconds
    while said.count(b"\n") < count and time.monotonic() < end:
        child.flush()
        piece = child.read()
        said += piece
        if not piece:
            time.sleep(0.005)
    return said.splitlines()


def wait_until_gone(child, seconds: float) -> float:
    began = time.monotonic()
    while not child.has_ended():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_what_is_sent_comes_back_whole(start):
    child = start(
        "import sys\nfor line in sys.stdin.buffer:\n    sys.stdout.buffer.write(line[::-1].strip() + b'\\n')\n"
        "    sys.stdout.buffer.flush()"
    )
    child.send(b"abc\n")
    child.send(b"x" * 300_000 + b"\n")
    assert lines(child, 2) == [b"cba", b"x" * 300_000]


def test_a_child_that_does_not_read_blocks_nobody(start):
    child = start("import time; time.sleep(60)")
    began = time.perf_counter()
    for _ in range(40):
        child.send(b"y" * 100_000 + b"\n")
    assert time.perf_counter() - began < 30  # the child would read in 60 s


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="st_blocks of a file with holes")
def test_the_file_of_what_it_says_stays_small_and_nothing_is_lost(start):
    count = 50_000
    child = start(
        f"import sys\nfor n in range({count}): sys.stdout.write(f'{{n:06d}}' + 'x' * 1000 + '\\n')\n"
        "sys.stdout.flush()\nsys.stdin.read()"
    )
    said, end, largest = bytearray(), time.monotonic() + 120, 0
    numbers = []
    while len(numbers) < count and time.monotonic() < end:
        said += child.read()
        *whole, rest = bytes(said).split(b"\n")
        numbers += [int(line[:6]) for line in whole]
        said = bytearray(rest)
    largest = child.out_path.stat().st_blocks * 512
    assert numbers == list(range(count))
    assert child.out_path.stat().st_size > 50_000_000
    assert largest < 4 << 20


def test_a_file_system_that_makes_no_holes_loses_nothing_either(start, addon, monkeypatch):
    def no(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(addon("backend.output_file"), "_punch_hole", no)
    child = start("import sys\nfor n in range(5000): sys.stdout.write(f'{n:04d}' + 'x' * 1000 + '\\n')")
    assert [int(line[:4]) for line in lines(child, 5000)] == list(range(5000))


def test_it_leaves_when_its_stdin_ends(start):
    child = start("import sys; sys.stdin.read()")
    child.leave()
    wait_until_gone(child, 30)
    assert child.exit_code == 0
    assert not child.out_path.exists()
    assert child.log_path.exists()


def test_one_that_will_not_leave_is_ended_by_force(start, addon, monkeypatch):
    monkeypatch.setattr(addon("backend.child_process"), "TERMINATE_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(addon("backend.child_process"), "KILL_AFTER_SECONDS", 0.4)
    child = start(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    assert lines(child, 1) == [b"up"]
    child.leave()
    assert wait_until_gone(child, 30) > 0.3
    assert child.exit_code == -9


def test_one_that_hangs_is_ended_at_once(start):
    child = start("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")
    os.kill(child.pid, signal.SIGSTOP)
    child.leave(by_force=True)
    wait_until_gone(child, 30)
    assert child.exit_code == -9


def test_a_module_lying_in_the_current_folder_is_not_taken_for_the_backend(addon, tmp_path, monkeypatch):
    for folder, word in (("current", "wrong"), ("root", "right")):
        package = tmp_path / folder / "wan_backend"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"print('{word}')")
    monkeypatch.chdir(tmp_path / "current")
    environment = addon("backend.launch_command").child_environment(tmp_path / "root")
    command = addon("backend.launch_command").BackendCommand([sys.executable, "-m", "wan_backend"], environment)
    child = addon("backend.child_process").ChildProcess(command, tmp_path / "run", "server")
    assert lines(child, 1) == [b"right"]
    child.end_now(1.0)


def test_its_last_words_are_kept(start):
    child = start("import sys; sys.exit('the disk is full')")
    while child.exit_code is None:
        time.sleep(0.01)
    assert child.last_log_line() == "the disk is full"


def test_one_that_takes_its_time_to_die_is_reaped_at_the_next_start(addon, start, tmp_path, monkeypatch):
    module = addon("backend.child_process")
    with monkeypatch.context() as busy:
        busy.setattr(module, "DEATH_SECONDS", 0.0)
        busy.setattr(module.ChildProcess, "_signal", lambda *_, **__: None)
        child = start("import time; time.sleep(600)")
        child.end_now()
    process = child._process
    assert process in module._dying
    process.kill()
    while process.poll() is None:
        time.sleep(0.01)
    start("")
    assert not module._dying


def test_a_program_that_is_not_there_is_a_sentence(addon, tmp_path):
    command = addon("backend.launch_command")
    wrong = command.BackendCommand([str(tmp_path / "none")], {})
    with pytest.raises(command.BackendMissing, match="could not be started"):
        addon("backend.child_process").ChildProcess(wrong, tmp_path / "run", "server")


def test_files_of_blenders_that_are_gone_are_swept(addon, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = [tmp_path / f"server-{gone.pid}-{n:08x}.log" for n in range(12)]
    for number, path in enumerate(old):
        path.touch()
        os.utime(path, (number, number))
    lost = tmp_path / f"server-{gone.pid}-00000000.out"
    in_use = tmp_path / f"server-{os.getppid()}-00000000.out"
    foreign = tmp_path / "a-note-of-mine.out"
    for path in (lost, in_use, foreign):
        path.touch()
    addon("backend.child_process").sweep_run_folder(tmp_path)
    assert not lost.exists()
    assert in_use.exists()
    assert foreign.exists()
    assert sorted(path for path in old if path.exists()) == old[4:]


def test_what_only_looks_like_one_of_ours_is_left_and_stops_nothing(addon, tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere.out"
    run.mkdir()
    elsewhere.write_text("mine")
    pids = ["\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "0", "-1", "", "one"]
    strange = [run / f"server-{pid}-0000000a.out" for pid in pids]
    strange += [run / f"server-999999999-{end}.out" for end in ("x", "0000000A", "0000000a0")]
    strange += [run / "server-999999999-0000000a.txt", run / "-999999999-0000000a.log", run / "--.out"]
    for path in strange:
        path.touch()
    folder, link = run / "server-999999999-0000000b.out", run / "server-999999999-0000000c.out"
    folder.mkdir()
    link.symlink_to(elsewhere)
    dangling = run / "server-999999999-0000000d.log"
    dangling.symlink_to(tmp_path / "nowhere")
    beyond = run / f"server-{10**30}-0000000e.out"
    beyond.touch()
    sweep = addon("backend.child_process").sweep_run_folder
    sweep(run)
    assert all(path.exists() for path in (*strange, folder, link)) and elsewhere.read_text() == "mine"
    assert dangling.is_symlink() and not beyond.exists()
    sweep(tmp_path / "nowhere")
    sweep(elsewhere)
