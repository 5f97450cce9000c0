"""The environment's maker: found Pythons, chosen builds, steps that are taken up again after a failure."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wan_backend.environment import create, first_files, interpreters, lock, torch_build
from wan_backend.protocol.sentences import in_english

ROOT = Path(__file__).resolve().parents[3]


def wheel(folder: Path, name: str, content: str = "here = True\n") -> Path:
    """A small pure wheel, so that no index is asked."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    facts = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(f"{name}.py", content)
        package.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        package.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{facts}/RECORD", "")
    return path


def this_python() -> interpreters.Interpreter:
    found = interpreters.ask(sys.executable)
    assert found
    return found


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip, pip's bytecode and nothing else. Not to be changed.

    Bytecode that is kept elsewhere, as in our tests, would be this folder's alone, and each copy's pip be compiled.
    """
    folder = tmp_path_factory.mktemp("empty") / "environment"
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("PYTHONPYCACHEPREFIX", raising=False)
        create._make_venv(folder, this_python())
    return folder


@pytest.fixture
def begun(empty_environment: Path, tmp_path: Path) -> Path:
    """The folder of an environment that was begun, for steps to go on in: to put pip in it takes four seconds."""
    folder = tmp_path / "backend" / "environment"
    shutil.copytree(empty_environment, folder, symlinks=True)
    return folder


def test_goes_on_after_a_failed_step_and_then_does_nothing(tmp_path: Path, begun: Path) -> None:
    folder, package = begun.rename(tmp_path / "with space ü"), tmp_path / "tiny_one-1.0-py3-none-any.whl"
    steps = [create.InstallStep("Installing a package", ("--no-index", str(package)))]
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


def test_its_python_knows_the_backend_from_anywhere(tmp_path: Path, begun: Path) -> None:
    python = create.create(begun, this_python(), [], lambda *_: None)
    create.link_package(begun)
    question = "import wan_backend; print(wan_backend.__file__)"
    answer = subprocess.run(
        [str(python), "-I", "-c", question], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(answer.stdout.strip()) == ROOT / "wan_backend" / "__init__.py"


def test_other_packages_make_it_unready(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    create.python_of(tmp_path).parent.mkdir(exist_ok=True)
    create.python_of(tmp_path).write_text("")
    steps = [create.InstallStep("one", ("a==1",))]
    (tmp_path / create.READY_FILE).write_text(json.dumps(create._description(steps)))
    assert create.is_ready(tmp_path, steps)
    assert not create.is_ready(tmp_path, [create.InstallStep("one", ("a==2",))])
    (tmp_path / create.READY_FILE).write_text("{half")
    assert not create.is_ready(tmp_path, steps)


def test_finds_a_python_of_each_kind_or_none() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert interpreters.find((version,)) is not None
    assert interpreters.find(("3.1",)) is None
    assert interpreters.ask("/no/such/python") is None


def test_a_person_without_a_home_has_no_python_there(tmp_path, monkeypatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(interpreters.os.path, "expanduser", lambda path: path)  # as it leaves it then
    monkeypatch.setattr(interpreters.shutil, "which", lambda _: None)
    planted = tmp_path / "~" / ".pyenv" / "versions" / "3.1.0" / "bin"
    planted.mkdir(parents=True)
    (planted / "python3").touch()
    monkeypatch.chdir(tmp_path)
    assert list(interpreters._candidates("3.1")) == [], "nor one in a folder that is called so"


@pytest.mark.parametrize("wish", ["cpu", "cuda", "rocm", "mps", "auto"])
def test_every_build_says_what_it_fetches(wish: str) -> None:
    assert torch_build.choose(wish).download_bytes > 100_000_000


def test_an_unknown_build_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="auto, cpu, cuda, rocm or mps"):
        torch_build.choose("quantum")


def test_torch_comes_first_and_by_itself() -> None:
    first, second = create.backend_steps(torch_build.choose("cpu"))
    assert first.pip_arguments[: len(create.LISTED)] == create.LISTED and "lock_torch_cpu.txt" in first.pip_arguments[4]
    assert second.pip_arguments == (*create.LISTED, str(create.LOCK))


@pytest.mark.parametrize("name", list(torch_build.BUILDS))
def test_every_file_is_compared_with_a_checksum_and_nothing_is_built(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_build, "has_hopper", lambda: False)
    torch, rest, tests = create.backend_steps(torch_build.BUILDS[name], ("pytest==1",))
    assert torch.hashed != bool(torch.unlisted) and rest.hashed and not tests.hashed
    for step in (torch, rest):
        assert {"--no-deps", "--only-binary=:all:"} <= {*step.pip_arguments}
    assert all("==" in pin for pin in torch.unlisted)
    if name == "rocm":  # what it needs of that index is of triton's version that goes with this torch
        triton = next(line for line in create.LOCK_TORCH.read_text("utf-8").splitlines() if line.startswith("triton"))
        assert torch.unlisted[1] == "triton-rocm" + triton.split()[0].removeprefix("triton")


@pytest.mark.parametrize("build", [build for build in torch_build.BUILDS.values() if build.listed])
def test_the_lists_of_torch_are_of_the_pinned_one(build: torch_build.TorchBuild) -> None:
    lines = [
        line for line in (create.HERE / build.listed).read_text("utf-8").splitlines() if line.startswith("torch==")
    ]
    (pin,) = [pin for pin in create.pins() if pin.startswith("torch==")]
    assert lines and all(
        re.fullmatch(r"[\w.=]+(\+\w+)?( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", line) for line in lines
    )
    assert {line.split()[0].partition("+")[0] for line in lines} == {pin}


def test_only_a_hopper_card_gets_the_kernel_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "has_hopper", lambda: True)
    for name, build in torch_build.BUILDS.items():
        extra = [step for step in create.backend_steps(build) if str(create.LOCK_HOPPER) in step.pip_arguments]
        assert len(extra) == (name == "cuda") and all(step.optional and step.hashed for step in extra)
    monkeypatch.setattr(torch_build, "has_hopper", lambda: False)
    assert len(create.backend_steps(torch_build.BUILDS["cuda"])) == 2


@pytest.mark.parametrize(("said", "hopper"), [("9.0\n", True), ("8.9\n9.0\n", True), ("8.9\n", False), ("", False)])
def test_a_hopper_card_is_known_by_what_its_driver_says(
    said: str, hopper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_build.sys, "platform", "linux")
    monkeypatch.setattr(torch_build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch_build.shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    answer = subprocess.CompletedProcess([], 0, said)
    monkeypatch.setattr(torch_build.subprocess, "run", lambda *_, **__: answer)
    assert torch_build.has_hopper() is hopper


def test_a_step_that_may_fail_costs_nothing_else(tmp_path: Path, begun: Path) -> None:
    gone = create.InstallStep(
        "Installing a kernel", ("--no-index", str(tmp_path / "none-1.0-py3-none-any.whl")), optional=True
    )
    create.create(begun, this_python(), [gone], lambda *_: None)
    assert create.is_ready(begun, [gone])


def locked() -> dict[str, str]:
    """Each package of the lock, by pip's own spelling of its name, and its line."""
    lines = [line for file in (create.LOCK, create.LOCK_TORCH) for line in file.read_text("utf-8").splitlines()]
    return {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower(): line for line in lines if not line.startswith("#")}


def test_the_lock_has_every_pin_with_its_checksums() -> None:
    pins = [*create.pins(), *(line for line in create.CONSTRAINTS.read_text("utf-8").split() if "==" in line)]
    known = locked()
    for pin in pins:
        name, _, version = pin.partition("==")
        line = known[re.sub(r"[-_.]+", "-", name).lower()]
        assert line.split()[0].partition("==")[2] == version, pin
    for line in known.values():
        assert re.search(r"==\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+$", line), line[:80]


def test_the_lock_is_made_of_what_uv_says(tmp_path: Path) -> None:
    said = (
        "torch==2.0 \\\n    --hash=sha256:aa\nnvidia-nccl-cu13==2 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
        "cuda-toolkit[cublas]==13 ; sys_platform == 'linux' \\\n    --hash=sha256:cc\n"
        "anyio==4 ; sys_platform != 'emscripten' \\\n    --hash=sha256:dd \\\n    --hash=sha256:ee\n    # via httpx\n"
        "jsfetch==1 ; sys_platform == 'emscripten' \\\n    --hash=sha256:ff\n"
    )
    lock.write(said, tmp_path / "rest", tmp_path / "torch")
    rest, torch = (
        [line for line in (tmp_path / name).read_text().splitlines() if line[0] != "#"] for name in ("rest", "torch")
    )
    assert rest == ["anyio==4 --hash=sha256:dd --hash=sha256:ee"]
    assert [line.split("==")[0] for line in torch] == ["torch", "nvidia-nccl-cu13", "cuda-toolkit"]


def test_a_persons_settings_of_pip_say_how_the_network_is_reached_and_nothing_else() -> None:
    settings = "\n".join([
        "global.index-url='https://mirror.example/simple'", "global.extra-index-url='https://evil.example/simple'",
        "global.cert='/etc/a file.pem'", "global.target='/somewhere'", "install.no-binary=':all:'", "global.pre='true'",
        ":env:.proxy='http://me:secret@proxy:3128'", ":env:.default-timeout='180'", "nonsense",
        ":env:.find-links='/wheels'",
    ])  # fmt: skip
    reach = {"PIP_CERT": "/etc/a file.pem", "PIP_PROXY": "http://me:secret@proxy:3128", "PIP_TIMEOUT": "180"}
    assert create.reach_of(settings, hashed=False) == reach
    assert create.reach_of(settings, hashed=True) == {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://evil.example/simple",  # of which only the right files are taken
        "PIP_FIND_LINKS": "/wheels",
        **reach,
    }


@pytest.mark.ci
def test_a_proxys_password_is_in_no_command_and_no_log(
    tmp_path: Path, begun: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PIP_PROXY", "http://me:secret@127.0.0.1:9")
    seen: list[dict[str, str]] = []
    plain = create._run

    def run(command: list[str], variables: dict[str, str] | None = None) -> int:
        if "install" in command:
            seen.append(variables or {})
            assert "secret" not in " ".join(command)
        return plain(command, variables)

    monkeypatch.setattr(create, "_run", run)
    caplog.set_level("INFO")
    steps = [create.InstallStep("Installing a package", ("--no-index", str(wheel(tmp_path, "tiny_four"))))]
    create.create(begun, this_python(), steps, lambda *_: None)
    assert [variables["PIP_PROXY"] for variables in seen] == ["http://me:secret@127.0.0.1:9"]
    assert "secret" not in caplog.text


@pytest.mark.ci
def test_what_is_in_no_list_stays_what_it_was_first(tmp_path: Path, begun: Path) -> None:
    found = ("--no-index", "--no-deps", "--only-binary=:all:", "--find-links", str(tmp_path))
    package, folder = wheel(tmp_path, "tiny_five"), begun
    steps = [create.InstallStep("Installing tiny_five", found, ("tiny_five==1.0",))]

    def make_anew() -> None:
        (folder / create.READY_FILE).unlink(missing_ok=True)
        for installed in folder.glob("[Ll]ib/**/tiny_five*"):
            shutil.rmtree(installed) if installed.is_dir() else installed.unlink()
        create.create(folder, this_python(), steps, lambda *_: None)

    make_anew()
    note, python = first_files.note_of(folder), this_python().version
    assert first_files.known(note, steps[0].unlisted, python) == {
        "tiny_five==1.0": hashlib.sha256(package.read_bytes()).hexdigest()
    }
    make_anew()
    package.unlink()
    wheel(tmp_path, "tiny_five", "here = False  # of the same version\n")
    with pytest.raises(create.SetupFailed, match="isn't the one any more that was first installed here") as failed:
        make_anew()
    assert f"delete {note} and set up again" in str(failed.value)
    note.write_text("{half")
    with pytest.raises(create.SetupFailed, match="is damaged; delete it"):
        make_anew()
    note.unlink()
    make_anew()


@pytest.mark.ci
def test_settings_of_pip_do_not_change_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel(tmp_path, "tiny_two")
    (tmp_path / "pip.conf").write_text("[install]\ntarget = elsewhere\nno-binary = :all:\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_PREFIX", str(tmp_path / "other"))
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "none.txt"))
    for name in ("pip", "venv", "ensurepip", "json"):  # where Blender was started, with what a stranger sent
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of a stranger')")
    monkeypatch.chdir(tmp_path)
    steps = [create.InstallStep("Installing a package", ("--no-index", str(package)))]
    python = create.create(tmp_path / "made", this_python(), steps, lambda *_: None)
    subprocess.run([str(python), "-c", "import tiny_two"], check=True)


@pytest.mark.ci
def test_a_file_with_another_checksum_is_not_installed(tmp_path: Path, begun: Path) -> None:
    package = wheel(tmp_path, "tiny_three")
    listed = tmp_path / "lock.txt"
    steps = [create.InstallStep("Installing", ("--no-index", "--no-deps", "--require-hashes", "-r", str(listed)))]
    listed.write_text(f"tiny_three @ {package.as_uri()} --hash=sha256:{'0' * 64}\n")
    with pytest.raises(create.SetupFailed, match="isn't the one that this version was tested with"):
        create.create(begun, this_python(), steps, lambda *_: None)
    listed.write_text(
        f"tiny_three @ {package.as_uri()} --hash=sha256:{hashlib.sha256(package.read_bytes()).hexdigest()}\n"
    )
    create.create(begun, this_python(), steps, lambda *_: None)


def run_program(*arguments: str, **variables: str) -> tuple[int, list[dict]]:
    result = subprocess.run(
        [sys.executable, "-m", "wan_backend.environment", *arguments],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
    )
    return result.returncode, [in_english(json.loads(line)) for line in result.stdout.splitlines()]


def test_plan_says_the_size_before_anything_is_fetched(tmp_path: Path) -> None:
    code, (event,) = run_program("plan", "--folder", str(tmp_path / "backend"), "--torch", "cpu")
    assert code == 0
    assert event["method"] == "setup_plan"
    assert event["params"]["download_bytes"] > 0 and "GB will be downloaded" in event["params"]["sentence"]
    assert not (tmp_path / "backend").exists()


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
        last = in_english(json.loads(child.stdout.read().splitlines()[-1]))
        assert b"Fatal" not in child.stderr.read()
        assert child.wait(30) == 1
    assert last["params"]["state"] == "failed"
