#!/usr/bin/env python3
"""Builds, shows and tests Wan VSE, with the standard library alone (Python 3.11 or later).

    python3 build.py demo         make what is needed and let a real Blender make a small film, under out/demo/
    python3 build.py check        style, the order of the imports and the types, in seconds
    python3 build.py test         check, then the tests that a landing waits for, with the Blender that is there
                                  (--fast: those of two minutes; --long: the others; --all-blenders: on each of ours)
    python3 build.py extension    the installable extension and its repository index, in dist/
    python3 build.py backend      the backend as a wheel, in dist/
    python3 build.py bench        how long the add-on keeps Blender's main thread over a whole job, with a long queue
    python3 build.py messages     all that a person reads in Blender, as a module to be translated, in out/
    python3 build.py install      install the extension in the Blender on PATH, and tell it of this clone's backend

Everything is made inside this folder (build/, dist/, out/), and a second run sets nothing up again. Only `install`
writes elsewhere: into Blender's user folder.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tools import messages  # noqa: E402
from wan_backend.environment import create, interpreters, lock, make, torch_build, uv_tool  # noqa: E402  (standard library only)
from wan_backend.environment.amount import Amount  # noqa: E402
from wan_backend.environment.causes import SetupFailed  # noqa: E402
from wan_backend.protocol.sentences import Sentence  # noqa: E402
from wan_backend.storage import whole_file  # noqa: E402

ENVIRONMENTS = ROOT / "build" / "environments"
PLACES = make.Places(ROOT / "build" / "tools", ROOT / "build" / "python")
SAY_SECONDS = 5.0
NOTHING = Amount()
DIST = ROOT / "dist"
DEMO = ROOT / "out" / "demo"
SOME_TAKES = ROOT / "out" / "some_takes"
TRAINING = ROOT / "out" / "training"
BYTECODE = ROOT / "build" / "bytecode"
MESSAGES = ROOT / "out" / "messages.py"

BLENDERS = {"4.2.23": "3.11", "4.5.15": "3.11", "5.0.1": "3.11", "5.2.3": "3.13"}
"""The bpy wheels that we test on, and the Python that each is made for."""
DEFAULT_BLENDERS = ("5.0.1", "5.2.3")
NEWEST_FIRST = tuple(reversed(BLENDERS))
OLDEST_BLENDER = (4, 2)

PYTEST = ("--quiet", "--dist", "worksteal", "--durations", "15")
PROCESSES, PROCESSES_BESIDE_OTHERS = 3, 1
"""Of pytest, on two cores: many a test waits for a child of its own, or for the disk."""
TAKES_A_WORD = ("-c", "-k", "-m", "-n", "-o", "-p", "-W", "--deselect", "--ignore")
"""Options of pytest whose next word is no file to be run, even where one is called so."""
NONE_COLLECTED = 5
"""What pytest ends with where it found no test to run."""
TEST_THREADS = "1"
"""Of torch in each of the two processes: more would wait for one another, spinning."""

LONGEST_LINE = 400
"""Of what a check says: Blender's types name every icon where one is meant."""

EXTENSION_ENTRY = '''"""Wan VSE, as Blender loads it. Written by build.py beside the manifest."""

from .blender_addon import register, unregister

__all__ = ["register", "unregister"]
'''
LARGEST_FILE_BYTES = 40_000_000


class BuildFailed(Exception):
    """A step failed; the message is a sentence for a person."""


def say(sentence: str) -> None:
    """One progress line."""
    sys.stdout.write(f"[wan-vse] {sentence}\n")
    sys.stdout.flush()


def run(command: Sequence[object], variables: dict[str, str] | None = None, well: Sequence[int] = (0,)) -> int:
    """Run a command in the clone, and give what it ended with; raises BuildFailed where that is none of `well`."""
    words = [str(part) for part in command]
    result = subprocess.run(words, cwd=ROOT, env=variables)
    if result.returncode not in well:
        raise BuildFailed(f"'{Path(words[0]).name} {words[1]} ...' ended with {result.returncode}; see above.")
    return result.returncode


# --- environments ---------------------------------------------------------------------------------------------------


class ProgressPrinter:
    """Says how far an environment is: each sentence once, and what is here of it now and then."""

    def __init__(self, name: str) -> None:
        self._name, self._sentence, self._said_at = name, "", 0.0

    def __call__(self, step: int, count: int, sentence: str, amount: Amount = NOTHING, /) -> None:
        """Say it."""
        now = time.monotonic()
        if sentence == self._sentence and now < self._said_at + SAY_SECONDS:
            return
        if sentence == self._sentence and not amount.total_bytes:
            return
        here, total = amount.done_bytes / 1e6, amount.total_bytes / 1e6
        self._sentence, self._said_at = sentence, now
        say(f"{self._name} {step}/{count}: {sentence}{f' ({here:.0f} of {total:.0f} MB)' if here else ''}")


def environment(name: str, versions: tuple[str, ...], steps: list[create.InstallStep]) -> Path:
    """The Python of the environment `name`, made if need be."""
    folder = ENVIRONMENTS / name
    if create.is_ready(folder, steps):
        return create.python_of(folder)
    started = time.monotonic()
    # A developer's settings of uv and pip hold: the packages of the tests aren't listed with checksums.
    wanted = make.Wanted(steps, versions, isolated=False, own_python=False)
    try:
        with _log_file(name) as log, _stderr_to(log):
            python = make.make(folder, wanted, PLACES, ProgressPrinter(name))
    except SetupFailed as error:
        raise BuildFailed(f"{error} Log: {ENVIRONMENTS / (name + '.log')}") from None
    say(f"{name}: ready after {time.monotonic() - started:.0f} s")
    return python


def backend_environment(torch: str) -> Path:
    """The backend's environment, with the packages of the tests and the checks."""
    steps = create.backend_steps(torch_build.choose(torch), test_packages("test", "check"), tuple(create.EXTRAS))
    python = environment("backend", interpreters.PREFERRED, steps)
    create.link_package(ENVIRONMENTS / "backend")
    return python


def blender_environment(version: str) -> Path:
    """An environment with Blender as a Python module."""
    numpy = {"3.11": "numpy==1.26.4", "3.13": "numpy==2.5.5"}[BLENDERS[version]]  # bpy itself pins none
    packages = (f"bpy=={version}", numpy, *test_packages("test"))
    step = create.InstallStep(Sentence(f"Installing Blender {version} as a module (about 370 MB)"), packages)
    return environment(f"blender-{version}", (BLENDERS[version],), [step])


def test_packages(*groups: str) -> tuple[str, ...]:
    """The pinned packages of pyproject.toml's dependency groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return tuple(package for group in groups for package in project["dependency-groups"][group])


def _uv() -> Path:
    """uv, of the version that is pinned. Raises BuildFailed where it can't be had."""
    printer = ProgressPrinter("uv")
    try:
        return uv_tool.bring(
            PLACES.tools,
            make.way(isolated=False, hashed=True),
            lambda sentence, amount: printer(1, 1, sentence, amount),
        )
    except (uv_tool.NoTool, SetupFailed) as error:
        raise BuildFailed(f"uv can't be had: {error}") from None


def _for_uv() -> dict[str, str]:
    """The variables for uv, with which a developer's index is found."""
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **make.way(isolated=False, hashed=False).variables}


def _log_file(name: str) -> BinaryIO:
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    return open(ENVIRONMENTS / f"{name}.log", "ab")


@contextlib.contextmanager
def _stderr_to(file: BinaryIO) -> Iterator[None]:
    """Send this process's file descriptor 2 to `file`: pip's many lines belong in a log."""
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def some_blender_environment() -> tuple[Path, str]:
    """The first bpy environment that a Python of this machine can hold, newest pinned Python 3.11 one first."""
    for version in DEFAULT_BLENDERS:
        with contextlib.suppress(BuildFailed):
            return blender_environment(version), version
    raise BuildFailed(
        "No Blender was found: put Blender 4.2 or later on PATH, or install Python 3.11 or 3.13 (with venv), for "
        "which Blender exists as a Python module."
    )


def blender_on_path() -> str | None:
    """The `blender` on PATH if it is new enough."""
    found = shutil.which("blender")
    if not found:
        return None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True)
    match = re.search(r"Blender (\d+)\.(\d+)", answer.stdout)
    return found if match and (int(match[1]), int(match[2])) >= OLDEST_BLENDER else None


# --- packaging ------------------------------------------------------------------------------------------------------


def manifest() -> dict[str, Any]:
    """blender_manifest.toml."""
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))


def build_extension(folder: Path = DIST) -> Path:
    """Write the extension's zip and the static repository's index.json into `folder`; returns the zip."""
    facts = manifest()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{facts['id']}-{facts['version']}.zip"
    partial = archive.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as package:
        _add(package, "__init__.py", EXTENSION_ENTRY.encode())
        for path in _extension_files():
            _add(package, path.relative_to(ROOT).as_posix(), path.read_bytes())
    whole_file.replace(partial, archive)
    (folder / "index.json").write_text(json.dumps(_index(facts, archive), indent=2) + "\n", "utf-8")
    return archive


def _extension_files() -> Iterator[Path]:
    yield from (ROOT / "blender_manifest.toml", ROOT / "LICENSE")
    for top in ("blender_addon", "wan_backend"):
        for path in sorted((ROOT / top).rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts or path.name.startswith("."):
                continue
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise BuildFailed(f"{path} is larger than {LARGEST_FILE_BYTES} bytes; such weights are not shipped.")
            yield path


def _add(package: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file with a fixed date, so that equal sources give an equal zip."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    package.writestr(entry, content)


def _index(facts: dict[str, Any], archive: Path) -> dict[str, Any]:
    """A static extension repository, by Blender's schema v1: what Blender reads to update from a URL."""
    content = archive.read_bytes()
    entry = {key: facts[key] for key in facts if key != "schema_version" and not key.startswith("build")}
    entry = {"schema_version": facts["schema_version"], **entry}
    entry["archive_size"] = len(content)
    entry["archive_hash"] = "sha256:" + hashlib.sha256(content).hexdigest()
    entry["archive_url"] = f"./{archive.name}"
    return {"version": "v1", "blocklist": [], "data": [entry]}


# --- verbs ----------------------------------------------------------------------------------------------------------


def do_extension(options: argparse.Namespace) -> None:
    archive = build_extension()
    say(f"extension: {archive} ({archive.stat().st_size / 1e6:.1f} MB), index: {DIST / 'index.json'}")


def do_backend(options: argparse.Namespace) -> None:
    python = backend_environment(options.torch)
    DIST.mkdir(exist_ok=True)
    run([_uv(), "build", "--wheel", "--quiet", "--python", python, "--out-dir", DIST, ROOT], _for_uv())
    (wheel,) = sorted(DIST.glob("wan_backend-*.whl"))[-1:]
    say(f"backend: {wheel}")


def do_demo(options: argparse.Namespace) -> None:
    if options.training:
        _train_in_blender(backend_environment(options.torch))
        return
    started = time.monotonic()
    backend = backend_environment(options.torch)
    folder = SOME_TAKES if options.only else DEMO
    shutil.rmtree(folder, ignore_errors=True)
    if options.media:
        shutil.copytree(options.media, folder / "media")
    else:
        run([backend, ROOT / "tests" / "demo" / "draw_media.py", folder / "media"])
    more = ["--backend", options.backend] if options.backend else []
    more += ["--only", options.only] if options.only else []
    film = ROOT / "tests" / "demo" / "film.py"
    command = _in_blender(film, "--extension", build_extension(), "--out", folder, *more)
    setup = time.monotonic() - started
    run(command, _blender_variables(backend, ROOT / "build" / "demo-user") | {"WAN_VSE_SETUP": f"{setup:.1f}"})
    for script in ("measure.py",) if options.only else ("measure.py", "contact_sheet.py"):
        run([backend, ROOT / "tests" / "demo" / script, folder])
    if options.only:
        say(f"demo: done. The takes are in {folder / 'frames'}; open {folder / 'demo.blend'}.")
        return
    otiotool = [backend, "-m", "opentimelineio.console.otiotool", "-i", DEMO / "film.otioz"]
    run([*otiotool, "--stats", "--list-clips", "-o", DEMO / "film_by_otiotool.otio"])
    say(f"demo: done. Look at {DEMO / 'contact_sheet.png'} and {DEMO / 'timeline.mp4'}; open {DEMO / 'demo.blend'}.")


def _train_in_blender(backend: Path) -> None:
    """The demo's long form: a LoRA of a look that the embedded model was never shown, and what takes with it show."""
    shutil.rmtree(TRAINING, ignore_errors=True)
    demo = ROOT / "tests" / "demo"
    run([backend, demo / "draw_look.py", TRAINING / "media"])
    command = _in_blender(demo / "train_look.py", "--extension", build_extension(), "--out", TRAINING)
    run(command, _blender_variables(backend, TRAINING / "user"))  # which no earlier training waits in
    run([backend, demo / "measure_look.py", TRAINING])
    say(f"demo: done. Look at {TRAINING / 'training_sheet.png'}; open {TRAINING / 'training.blend'}.")


def do_bench(options: argparse.Namespace) -> None:
    backend = backend_environment(options.torch)
    media = ROOT / "build" / "bench-media"
    run([backend, ROOT / "tests" / "demo" / "draw_media.py", media])
    variables = _blender_variables(backend, ROOT / "build" / "bench-user")
    given = {"main_thread.py": ("--media", media), "load.py": ("--backend", backend)}
    for name, more in given.items():
        script = ROOT / "tests" / "benchmark" / name
        run(_in_blender(script, "--extension", build_extension(), *more), variables)


def do_check(_options: argparse.Namespace) -> None:
    _check(backend_environment("cpu"))


def _check(python: Path, collected: Sequence[object] = ()) -> None:
    """Run all checks at once, and with them what collects the tests: the types leave a core to it for a while.

    The processes that run the tests all collect them at the same moment. In a new clone each would compile them all.
    """
    laid_out = _laid_out()
    for_mypy = {"MYPYPATH": str(laid_out)}
    for_imports = {"PYTHONPATH": os.pathsep.join([str(laid_out), str(ROOT)])}
    started = time.monotonic()
    processes = {
        name: _begin(f"check: {name} ...", command, variables)
        for name, command, variables in (
            ("style", [python, "-m", "ruff", "check", "--quiet"], {}),
            ("format", [python, "-m", "ruff", "format", "--check", "--quiet"], {}),
            (
                "imports",
                [python.with_name("lint-imports"), "--no-logo", "--cache-dir", laid_out / "imports"],
                for_imports,
            ),
            ("types of the backend", [python, "-m", "mypy"], {}),
            (
                "types of the add-on",
                [python, "-m", "mypy", "--cache-dir", laid_out / "mypy", "-p", "wan_vse.blender_addon"],
                for_mypy,
            ),
            *([("tests", collected, {})] if collected else ()),
        )
    }
    failed = []
    for name, process in processes.items():
        answer = process.communicate()[0]
        if process.returncode:
            failed.append(name)
            sys.stdout.writelines(f"{line[:LONGEST_LINE]}\n" for line in answer.splitlines())
    if failed:
        raise BuildFailed(f"check: {', '.join(failed)}; see above.")
    say(f"check: style, imports and types are right ({time.monotonic() - started:.0f} s)")


def _begin(sentence: str, command: Sequence[object], variables: dict[str, str]) -> subprocess.Popen[str]:
    """Say so and start it, with all that it says itself held back until it is asked."""
    say(sentence)
    words, there = [str(part) for part in command], os.environ | variables
    return subprocess.Popen(words, cwd=ROOT, env=there, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _laid_out() -> Path:
    """A folder that holds the package `wan_vse` as Blender loads it: the add-on, and beside it the backend."""
    folder = ROOT / "build" / "typing"
    package = folder / "wan_vse"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(EXTENSION_ENTRY, "utf-8")
    for name in ("blender_addon", "wan_backend"):
        if not (package / name).exists():
            (package / name).symlink_to(Path("..", "..", "..", name), target_is_directory=True)
    return folder


def do_test(options: argparse.Namespace) -> None:
    backend = backend_environment("cpu")
    _forget_bytecode_of_gone_folders()
    tier = ["--tier", options.tier]
    if options.tier in ("fast", "ci"):
        _check(backend, [] if options.pytest else [backend, "-m", "pytest", "tests", "--collect-only", "-qq", *tier])
    variables = _blender_variables(backend, ROOT / "build" / "test-user") | {"OMP_NUM_THREADS": TEST_THREADS}
    say(f"test: the backend ({options.tier})")
    some = _pytest(backend, tier, options, variables)
    if options.tier != "fast":
        variables["WAN_VSE_TEST_EXTENSION"] = str(build_extension(ROOT / "build" / "test-extension"))
        some = _test_in_blenders(tier, options, variables) or some
    if not some:
        raise BuildFailed("test: nothing of this tier is called so; name another file, or call pytest itself.")
    say("test: all passed")


def _pytest(python: Path, chosen: Sequence[str], options: argparse.Namespace, variables: dict[str, str]) -> bool:
    """Run the tests of `chosen`, all or what was named; False where none of the latter is for this Python."""
    return run(_of_pytest(python, chosen, options, PROCESSES), variables, _ends_well(options)) == 0


def _of_pytest(python: Path, chosen: Sequence[str], options: argparse.Namespace, processes: int) -> list[object]:
    named = options.pytest
    words = [*chosen, *named] if names_a_file(named) else ["tests", *chosen, *named]
    return [python, "-m", "pytest", *PYTEST, "--numprocesses", processes, *words]


def _ends_well(options: argparse.Namespace) -> tuple[int, ...]:
    return (0, NONE_COLLECTED) if options.pytest else (0,)


def names_a_file(words: Sequence[str]) -> bool:
    """Whether one of pytest's arguments says which tests are run, so that they are run in place of all."""
    plain = (word for before, word in zip(("", *words), words, strict=False) if before not in TAKES_A_WORD)
    return any(not word.startswith("-") and (ROOT / word.partition("::")[0]).exists() for word in plain)


def _test_in_blenders(tier: list[str], options: argparse.Namespace, variables: dict[str, str]) -> bool:
    """The add-on's tests in one Blender, or in every one, or whole in the newest and in short in the others.

    False where nothing of what was named is for any of them.
    """
    if not (options.all_blenders or options.compat):
        python, version = some_blender_environment()
        say(f"test: the add-on in Blender {version}")
        return _pytest(python, tier, options, variables)
    pythons: dict[str, Path] = {}
    for version in NEWEST_FIRST:
        try:
            pythons[version] = blender_environment(version)
        except BuildFailed as error:
            say(f"test: Blender {version} SKIPPED: {error}")
    some = False
    whole = list(pythons)[:1] if options.compat else list(pythons)
    for version in whole:
        say(f"test: the add-on in Blender {version}")
        some = _pytest(pythons[version], tier, options, variables) or some
    others = {version: pythons[version] for version in pythons if version not in whole}
    return _test_side_by_side(others, [*tier, "-m", "compat"], options, variables) or some


def _test_side_by_side(
    pythons: dict[str, Path], chosen: Sequence[str], options: argparse.Namespace, variables: dict[str, str]
) -> bool:
    """What asks a version, in each of these Blenders at once, a process each; False where none has any of it.

    What each says comes whole as it ends, one after the other, and all are waited for where one fails.
    """
    running = {
        version: _begin(
            f"test: the add-on in Blender {version}: what asks its version",
            _of_pytest(python, chosen, options, PROCESSES_BESIDE_OTHERS),
            variables,
        )
        for version, python in pythons.items()
    }
    codes = {}
    for version, process in running.items():
        answer = process.communicate()[0]
        codes[version] = process.returncode
        say(f"test: Blender {version} says:")
        sys.stdout.write(answer)
    failed = [version for version, code in codes.items() if code not in _ends_well(options)]
    if failed:
        raise BuildFailed(f"test: what asks its version failed in Blender {', '.join(failed)}; see above.")
    return 0 in codes.values()


def do_messages(_options: argparse.Namespace) -> None:
    """Write what there is to translate, as a module of a language with nothing translated yet."""
    found = messages.collect(ROOT)
    MESSAGES.parent.mkdir(parents=True, exist_ok=True)
    MESSAGES.write_text(messages.as_module(found), "utf-8")
    say(f"{len(found):,} messages are in {MESSAGES}; docs/contributing.md says how they are translated.")


def do_lock(_options: argparse.Namespace) -> None:
    """Make lock.txt, lock_torch.txt and those of the extras anew, with the checksums that PyPI has."""
    lock.write(_resolved(create.REQUIREMENTS), create.LOCK, create.LOCK_TORCH)
    for extra in lock.RESOLVED_EXTRAS:
        made = _resolved(create.HERE / f"requirements_{extra}.txt", "--constraint", create.REQUIREMENTS)
        lock.write_extra(made, create.HERE / f"lock_{extra}.txt", create.LOCK, extra)


def _resolved(requirements: Path, *more: object) -> str:
    """What uv makes of the requirements, for every system."""
    command = [
        _uv(), "pip", "compile", "--no-config", "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-annotate", "--no-header", "--default-index", "https://pypi.org/simple", "--constraint",
        create.CONSTRAINTS, *more, requirements,
    ]  # fmt: skip
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def do_install(options: argparse.Namespace) -> None:
    blender = blender_on_path()
    if not blender:
        raise BuildFailed("No Blender 4.2 or later is on PATH; put it there, or install dist/*.zip by hand in Blender.")
    backend = backend_environment(options.torch)
    archive = build_extension()
    run([blender, "--command", "extension", "install-file", "-r", "user_default", "-e", archive])
    code = (
        "import bpy, json, pathlib; folder = bpy.utils.extension_path_user("
        "'bl_ext.user_default.wan_vse', path='backend', create=True);"
        f"pathlib.Path(folder, 'backend.json').write_text(json.dumps({{'python': {str(backend)!r}}}))"
    )
    run([blender, "-b", "--python-exit-code", "7", "--python-expr", code])
    say("install: done. Open Blender's sequencer and press N: the tab is called Wan.")


def _in_blender(script: Path, *arguments: object) -> list[object]:
    """The command that runs `script` in a Blender without a window: the one on PATH, else a module."""
    blender = blender_on_path()
    if blender:
        say(f"using {blender}")
        return [blender, "-b", "--factory-startup", "--python-exit-code", "7", "-P", script, "--", *arguments]
    python, version = some_blender_environment()
    say(f"no Blender 4.2 or later on PATH; using Blender {version} as a module")
    return [python, script, *arguments]


def _blender_variables(backend: Path, user: Path) -> dict[str, str]:
    """The environment of a Blender that keeps its files in the clone and finds the clone's backend."""
    user.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user), "WAN_VSE_BACKEND_PYTHON": str(backend)}
    keep_bytecode(variables)
    return variables


def keep_bytecode(variables: MutableMapping[str, str]) -> None:
    """Let every Python with these variables keep what it compiled, in the clone, even where it is told to keep none.

    To compile torch, diffusers and peft anew takes two thirds of a worker's start, and tests start many.
    """
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables["PYTHONPYCACHEPREFIX"] = str(BYTECODE)


def _forget_bytecode_of_gone_folders() -> None:
    """Each run installs the extension in temporary folders of its own, and bytecode is kept by its source's path."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for folder in BYTECODE.joinpath(*temporary.parts[1:]).glob("*"):
        if not (temporary / folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; the exit code is 0 where all went well."""
    parser = argparse.ArgumentParser(
        prog="build.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = ("demo", "check", "test", "extension", "backend", "bench", "messages", "install", "lock")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(names))
    for name in names:
        verb = verbs.add_parser(name)
        if name in ("demo", "backend", "bench", "install"):
            default = "auto" if name == "install" else "cpu"
            verb.add_argument("--torch", default=default, help="auto, cpu, cuda, rocm or mps (default: %(default)s)")
        if name == "demo":
            verb.add_argument("--backend", default="", help="make them elsewhere: 'ssh box wan-backend serve'")
            verb.add_argument("--only", default="", metavar="TASKS", help="some of its takes: restyle,extend; no film")
            verb.add_argument("--media", default="", metavar="FOLDER", help="media of another demo; else drawn anew")
            verb.add_argument("--training", action="store_true", help="no film: a LoRA is trained, and takes with it")
        if name == "test":
            tiers = verb.add_mutually_exclusive_group()
            tiers.add_argument(
                "--fast", dest="tier", action="store_const", const="fast", help="no process, model, Blender"
            )
            tiers.add_argument(
                "--rest", dest="tier", action="store_const", const="rest", help="what --fast leaves out of all"
            )
            tiers.add_argument("--long", dest="tier", action="store_const", const="long", help="the long tests alone")
            verb.set_defaults(tier="ci")
            verb.add_argument("--all-blenders", action="store_true", help="whole on 4.2, 4.5, 5.0 and 5.2")
            verb.add_argument("--compat", action="store_true", help="whole on the newest, in short on the others")
            verb.add_argument("pytest", nargs="*", help="passed on to pytest (after --); a path replaces all others")
    options = parser.parse_args(arguments)
    try:
        globals()[f"do_{options.verb}"](options)
    except BuildFailed as error:
        say(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
