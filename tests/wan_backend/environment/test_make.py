"""From nothing to an environment that answers, and what is kept when that goes wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.wan_backend.environment.local_index import wheel
from wan_backend.environment import __main__ as program
from wan_backend.environment import create, interpreters, make, torch_build, uv_install, uv_tool
from wan_backend.environment.amount import Amount
from wan_backend.environment.causes import SetupFailed
from wan_backend.protocol.messages import ProblemKind
from wan_backend.protocol.sentences import Sentence, in_english

pytestmark = pytest.mark.usefixtures("plain")


class Received(list[tuple[int, str]]):
    """The steps that were told, with their sentences."""

    def __call__(self, step: int, _count: int, sentence: str, _amount: Amount = program.NOTHING, /) -> None:
        self.append((step, sentence))


def places(tmp_path: Path) -> make.Places:
    return make.Places(tmp_path / "tools", tmp_path / "python", tmp_path / "cache")


def wanted(package: Path, question: str = "") -> make.Wanted:
    steps = [create.InstallStep("Installing a package", ("--no-index", "--no-deps", str(package)))]
    return make.Wanted(steps, question=question, own_python=False)


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """uv isn't on the index."""

    def bring(*_: object) -> Path:
        raise uv_tool.NoTool("Fetching uv stopped: it isn't on the index")

    monkeypatch.setattr(uv_tool, "bring", bring)


@pytest.fixture
def with_uv(uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uv that is pinned is here."""
    monkeypatch.setattr(uv_tool, "bring", lambda *_: uv)


def test_without_uv_pip_does_it_and_says_so(no_uv: None, tmp_path: Path) -> None:
    received = Received()
    python = make.make(
        tmp_path / "made", wanted(wheel(tmp_path, "tiny_e"), "import tiny_e"), places(tmp_path), received
    )
    assert python.exists() and create.is_ready(
        tmp_path / "made", wanted(tmp_path / "tiny_e-1.0-py3-none-any.whl").steps
    )
    said = "uv isn't available (Fetching uv stopped: it isn't on the index). pip makes the environment instead."
    assert (make.INSTALL, said) in received and received[-1][0] == make.ASK


def test_with_uv_it_is_made_once(with_uv: None, tmp_path: Path) -> None:
    received, one = Received(), wanted(wheel(tmp_path, "tiny_f"), "import tiny_f")
    python = make.make(tmp_path / "made", one, places(tmp_path), received)
    assert [step for step, _ in received] == sorted(step for step, _ in received)
    assert not any("pip makes" in sentence for _, sentence in received)
    received.clear()
    assert make.make(tmp_path / "made", one, places(tmp_path), received) == python and received == []


def test_one_that_does_not_answer_is_not_ready(with_uv: None, tmp_path: Path) -> None:
    one = wanted(wheel(tmp_path, "tiny_g"), "import tiny_g, of_nobody")
    with pytest.raises(SetupFailed, match=r"doesn't work \(ModuleNotFoundError.*of_nobody.*is kept"):
        make.make(tmp_path / "made", one, places(tmp_path), Received())
    assert not create.is_ready(tmp_path / "made", one.steps)


def test_no_python_at_all_is_one_sentence_with_its_cause(
    with_uv: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> interpreters.Interpreter:
        raise SetupFailed(Sentence("Fetching Python stopped: github.com can't be reached."))

    monkeypatch.setattr(uv_tool, "bring_python", none)
    monkeypatch.setattr(interpreters, "find", lambda *_: None)
    with pytest.raises(SetupFailed, match=r"github\.com can't be reached\. No Python.* Install Python 3\.12") as failed:
        make.make(tmp_path / "made", wanted(wheel(tmp_path, "tiny_h")), places(tmp_path), Received())
    assert failed.value.kind is ProblemKind.NO_PYTHON


def test_where_uvs_python_can_not_be_fetched_the_systems_is_taken(
    with_uv: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> interpreters.Interpreter:
        raise SetupFailed(Sentence("Fetching Python stopped: github.com can't be reached."))

    monkeypatch.setattr(uv_tool, "bring_python", none)
    received = Received()
    one = make.Wanted(wanted(wheel(tmp_path, "tiny_i")).steps, own_python=True)
    make.make(tmp_path / "made", one, places(tmp_path), received)
    assert any(f"Python 3.{sys.version_info[1]} of this system is used" in sentence for _, sentence in received)


def test_amds_torch_is_installed_by_pip_since_its_checksums_are_noted(
    with_uv: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(uv_install, "install", lambda *_: asked.append("uv"))
    monkeypatch.setattr(create, "install", lambda *_: asked.append("pip"))
    monkeypatch.setattr(make, "_ask", lambda *_: None)
    for name in ("rocm", "cpu"):
        one = make.Wanted(create.backend_steps(torch_build.BUILDS[name]), own_python=False)
        (tmp_path / name).mkdir()
        make.make(tmp_path / name, one, places(tmp_path), Received())
    assert asked == ["pip", "uv"]


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]):
    """set_up(package, question) runs the whole program, with one small package as the backend's."""

    def run(package: Path, question: str = "") -> tuple[int, list[dict]]:
        steps = [create.InstallStep("Installing", ("--no-index", "--no-deps", str(package)))]
        monkeypatch.setattr(create, "backend_steps", lambda *_: steps)
        monkeypatch.setattr(make, "ANSWERS", question)
        monkeypatch.setattr(program, "_leave_with_parent", lambda: None)
        monkeypatch.setattr(interpreters, "PREFERRED", (f"3.{sys.version_info[1]}",))
        code = program.main(["create", "--folder", str(tmp_path / "backend"), "--torch", "cpu"])
        return code, [in_english(json.loads(line))["params"] for line in capfdbinary.readouterr().out.splitlines()]

    return run


def used(tmp_path: Path) -> Path:
    return Path(json.loads((tmp_path / "backend" / program.BACKEND_FILE).read_text())["python"])


def test_the_old_one_is_kept_until_the_new_one_answers(with_uv: None, tmp_path: Path, set_up) -> None:
    assert set_up(wheel(tmp_path, "tiny_old"))[0] == 0
    old = used(tmp_path)
    code, events = set_up(wheel(tmp_path, "tiny_new"), "raise SystemExit('no card')")
    assert code == 1 and "doesn't work (no card)" in events[-1]["problem"]["sentence"]
    assert used(tmp_path) == old and old.exists()
    code, events = set_up(tmp_path / "tiny_new-1.0-py3-none-any.whl")
    assert (code, events[-1]["state"]) == (0, "done")
    assert used(tmp_path) != old and used(tmp_path).exists() and old.exists()  # a backend may still run out of it
    assert set_up(tmp_path / "tiny_new-1.0-py3-none-any.whl")[0] == 0
    assert not old.exists() and used(tmp_path).exists()


def test_a_strangers_settings_of_uv_are_not_obeyed(
    with_uv: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = '[pip]\nno-binary = [":all:"]\ntarget = "/nowhere/at/all"\n'
    (tmp_path / "uv").mkdir()
    for file in (tmp_path / "uv.toml", tmp_path / "uv" / "uv.toml"):
        file.write_text(settings)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("UV_TARGET", "/nowhere/at/all")
    make.make(tmp_path / "made", wanted(wheel(tmp_path, "tiny_j"), "import tiny_j"), places(tmp_path), Received())
    with pytest.raises(SetupFailed):  # the explicit switch of the tests and build.py
        dev = make.Wanted(wanted(tmp_path / "tiny_j-1.0-py3-none-any.whl").steps, isolated=False, own_python=False)
        make.make(tmp_path / "another", dev, places(tmp_path), Received())


def test_no_room_is_said_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = program.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(program.shutil, "disk_usage", lambda _: usage._replace(free=200_000_000))
    plan = program.make_plan(tmp_path / "backend", "cpu")
    assert plan.problem and plan.problem.kind is ProblemKind.DISK_FULL
    assert plan.problem.sentence.startswith("The environment takes about 1.0 GB, and 0.2 GB are free")
    (tmp_path / "backend" / "cache").mkdir(parents=True)
    (tmp_path / "backend" / "cache" / "torch").write_bytes(bytes(1000))
    with open(tmp_path / "backend" / "cache" / "torch", "r+b") as file:
        file.truncate(900_000_000)  # what an earlier try fetched is there already
    assert program.make_plan(tmp_path / "backend", "cpu").problem is None


def test_bytes_are_sent_but_not_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(program, "_send", lambda _, message: sent.append(message))
    sender = program.ProgressSender()
    for done in range(100):
        sender(make.INSTALL, make.COUNT, "Installing", Amount(done, 100, 7.0))
    sender(make.ASK, make.COUNT, "Seeing")
    first, last = sent[0], sent[-1]
    assert len(sent) < 10 and (first.done_bytes, first.total_bytes, first.seconds_left) == (0, 100, 7.0)
    assert first.progress == program.SHARES[2] and last.progress == program.SHARES[3]
