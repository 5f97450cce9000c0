"""The environment's maker: found Pythons, chosen builds, steps that are taken up again after a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wan_backend.environment import __main__ as program
from wan_backend.environment import create, interpreters, torch_build

ROOT = Path(__file__).resolve().parents[3]


def wheel(folder: Path, name: str) -> Path:
    """A small pure wheel, so that no index is asked."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    facts = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(f"{name}.py", "here = True\n")
        package.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        package.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{facts}/RECORD", "")
    return path


def this_python() -> interpreters.Interpreter:
    found = interpreters.ask(sys.executable)
    assert found
    return found


def test_goes_on_after_a_failed_step_and_then_does_nothing(tmp_path: Path) -> None:
    folder, package = tmp_path / "with space ü", tmp_path / "tiny_one-1.0-py3-none-any.whl"
    steps = [create.Step("Installing a package", ("--no-index", str(package)))]
    seen: list[str] = []
    with pytest.raises(create.SetupFailed, match="goes on where it stopped"):
        create.create(folder, this_python(), steps, lambda step, count, sentence: seen.append(sentence))
    assert not create.is_ready(folder, steps)
    wheel(tmp_path, "tiny_one")
    python = create.create(folder, this_python(), steps, lambda *_: None)
    assert create.is_ready(folder, steps)
    subprocess.run([str(python), "-c", "import tiny_one"], check=True)
    again: list[int] = []
    create.create(folder, this_python(), steps, lambda step, *_: again.append(step))
    assert again == []


def test_its_python_knows_the_backend_from_anywhere(tmp_path: Path) -> None:
    python = create.create(tmp_path / "environment", this_python(), [], lambda *_: None)
    create.link_package(tmp_path / "environment")
    question = "import wan_backend; print(wan_backend.__file__)"
    answer = subprocess.run(
        [str(python), "-I", "-c", question], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(answer.stdout.strip()) == ROOT / "wan_backend" / "__init__.py"


def test_other_packages_make_it_unready(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    create.python_of(tmp_path).parent.mkdir(exist_ok=True)
    create.python_of(tmp_path).write_text("")
    steps = [create.Step("one", ("a==1",))]
    (tmp_path / create.READY_FILE).write_text(json.dumps(create._description(steps)))
    assert create.is_ready(tmp_path, steps)
    assert not create.is_ready(tmp_path, [create.Step("one", ("a==2",))])
    (tmp_path / create.READY_FILE).write_text("{half")
    assert not create.is_ready(tmp_path, steps)


def test_finds_a_python_of_each_kind_or_none() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert interpreters.find((version,)) is not None
    assert interpreters.find(("3.1",)) is None
    assert interpreters.ask("/no/such/python") is None


@pytest.mark.parametrize("wish", ["cpu", "cuda", "rocm", "mps", "auto"])
def test_every_build_says_what_it_fetches(wish: str) -> None:
    assert torch_build.choose(wish).download_bytes > 100_000_000


def test_an_unknown_build_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="auto, cpu, cuda, rocm or mps"):
        torch_build.choose("quantum")


def test_torch_comes_first_and_by_itself() -> None:
    first, second = create.backend_steps(torch_build.choose("cpu"))
    assert first.pip_arguments[0].startswith("torch==") and "--no-deps" in first.pip_arguments
    assert "-c" in second.pip_arguments


def run_program(*arguments: str, **variables: str) -> tuple[int, list[dict]]:
    result = subprocess.run(
        [sys.executable, "-m", "wan_backend.environment", *arguments],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
    )
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]


def test_plan_says_the_size_before_anything_is_fetched(tmp_path: Path) -> None:
    code, (event,) = run_program("plan", "--folder", str(tmp_path / "backend"), "--torch", "cpu")
    assert code == 0
    assert event["method"] == "setup_plan"
    assert event["params"]["download_bytes"] > 0 and "GB will be fetched" in event["params"]["sentence"]
    assert not (tmp_path / "backend").exists()


def test_no_python_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find", lambda *_: None)
    plan = program.make_plan(tmp_path, "cpu")
    assert plan.problem and "Install Python 3.12" in plan.problem.sentence


def test_it_exits_in_peace_while_stdin_is_open(tmp_path: Path) -> None:
    """A thread that waited in sys.stdin once made every exit a fatal Python error."""
    (tmp_path / "backend").write_text("a file where the folder should be")
    child = subprocess.Popen(
        [sys.executable, "-m", "wan_backend.environment", "create", "--folder", str(tmp_path / "backend")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    with child:
        assert child.stdout and child.stderr
        last = json.loads(child.stdout.read().splitlines()[-1])
        assert b"Fatal" not in child.stderr.read()
        assert child.wait(30) == 1
    assert last["params"]["state"] == "failed"
