"""Which backend is started, and in which surroundings."""

from __future__ import annotations

import json
import sys

import pytest


@pytest.fixture
def command(addon):
    return addon("backend.launch_command")


@pytest.fixture
def settings(command, tmp_path):
    return lambda **more: command.BackendSettings(package_root=tmp_path / "root", user_folder=tmp_path, **more)


def test_preferences_go_before_the_variable_and_the_variable_before_the_setup(command, settings, tmp_path):
    pythons = {}
    for name in ("preferred", "variable", "set up"):
        pythons[name] = tmp_path / name / "python"
        pythons[name].parent.mkdir()
        pythons[name].touch()
    note = tmp_path / "backend" / "backend.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"python": str(pythons["set up"])}))
    around = {command.PYTHON_VARIABLE: str(pythons["variable"])}
    preferred = settings(command=str(pythons["preferred"]))
    assert command.find(preferred, around).arguments[0] == str(pythons["preferred"])
    assert command.find(settings(), around).arguments[0] == str(pythons["variable"])
    assert command.find(settings(), {}).arguments[0] == str(pythons["set up"])


def test_a_path_with_spaces_is_one_word_and_a_command_line_is_several(command, tmp_path):
    python = tmp_path / "my python" / "python.exe"
    python.parent.mkdir()
    python.touch()
    assert command.split_command(str(python)) == [str(python)]
    assert command.split_command(f'"{python}"') == [str(python)]
    assert command.split_command(f'{sys.executable} -X utf8 "{python}"') == [
        sys.executable,
        "-X",
        "utf8",
        str(python),
    ]


def test_what_the_preferences_say_becomes_flags(command, settings, tmp_path):
    found = command.find(
        settings(command=sys.executable, models_folder="/my models", device="cpu", memory_budget_gib=7.5)
    )
    assert found.arguments == [
        *(sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "state")),
        *("--models-folder", "/my models", "--device", "cpu", "--memory-budget-gib", "7.5"),
    ]
    idle = command.find(settings(command=sys.executable, idle_minutes=30)).arguments
    assert idle[-2:] == ["--idle-minutes", "30"]
    cards = {"cards": ("GPU-1111", "GPU-2222")}
    chosen = command.find(settings(command=sys.executable, **cards)).arguments
    assert chosen[-4:] == ["--card", "GPU-1111", "--card", "GPU-2222"]
    both = command.find(settings(command=sys.executable, cards_per_take=2, **cards)).arguments
    assert both[-2:] == ["--cards-per-take", "2"]
    on_processor = command.find(settings(command=sys.executable, cards_per_take=2, device="cpu")).arguments
    assert "--cards-per-take" not in [*on_processor, *chosen]
    assert "--card" not in command.find(settings(command=sys.executable, device="cpu", **cards)).arguments
    assert command.find(settings(command=sys.executable, paused=True)).arguments[-1] == "--paused"
    plain = command.find(settings(command=sys.executable)).arguments
    assert plain[-2:] == ["--state", str(tmp_path / "state")]


def test_blenders_own_surroundings_are_kept_from_the_child(command, settings, tmp_path):
    around = {"PYTHONHOME": "/blender", "PYTHONPATH": "/blender/lib", "OCIO": "/blender/ocio", "HOME": "/me"}
    environment = command.find(settings(command=sys.executable), around).environment
    assert "PYTHONHOME" not in environment
    assert "OCIO" not in environment
    assert environment["PYTHONPATH"] == str(tmp_path / "root")
    assert environment["HOME"] == "/me"


def test_each_way_of_missing_is_a_sentence(command, settings, tmp_path):
    def sentence(around, **more):
        with pytest.raises(command.BackendMissing) as caught:
            command.find(settings(**more), around)
        assert str(caught.value) == caught.value.sentence
        return caught.value.sentence

    assert "press Set Up Backend" in sentence({})
    assert "/no/python --fast" in sentence({}, command="/no/python --fast")
    assert command.PYTHON_VARIABLE in sentence({command.PYTHON_VARIABLE: "/no/python"})
    note = tmp_path / "backend" / "backend.json"
    note.parent.mkdir()
    for damaged in ("{", "[" * 100_000):
        note.write_text(damaged)
        assert "can't be read" in sentence({})
    note.write_text('{"python": "/gone"}')
    assert "/gone, is gone" in sentence({})


def test_a_backend_of_the_preferences_that_is_not_there_is_named_whole_with_what_helps(command, settings, tmp_path):
    def missing(text):
        with pytest.raises(command.BackendMissing) as caught:
            command.find(settings(command=text), {})
        return caught.value

    home = tmp_path / "my tools"
    for text in (str(home / "python"), f'"{home / "python"}"'):
        found = missing(text)
        assert f"{home / 'python'}, is not there: clear the field" in found.sentence
        assert found.remedy is command.Remedy.CLEAR
    (home / "bin").mkdir(parents=True)
    assert f"{home}, is a folder" in missing(str(home)).sentence
    (home / "bin" / "python").touch()
    assert f"choose {home / 'bin' / 'python'}." in missing(str(home)).sentence
    note = tmp_path / "backend" / "backend.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"python": sys.executable}))
    found = missing("/no/python")
    assert "use the one that was set up" in found.sentence and found.remedy is command.Remedy.USE_SET_UP


def test_what_a_button_can_do_is_known_of_each_way_of_missing(command, settings, tmp_path):
    def remedy(around):
        with pytest.raises(command.BackendMissing) as caught:
            command.find(settings(), around)
        return caught.value.remedy

    assert remedy({}) is command.Remedy.FIRST_SET_UP
    assert remedy({command.PYTHON_VARIABLE: "/no/python"}) is command.Remedy.NONE
    note = tmp_path / "backend" / "backend.json"
    note.parent.mkdir()
    for content in ("{", '{"python": "/gone"}'):
        note.write_text(content)
        assert remedy({}) is command.Remedy.SET_UP


def test_another_machine_is_reached_by_the_relay_with_what_it_needs(command, settings, tmp_path):
    pairs = (("/mnt/shots", "/srv/shots"),)
    box = command.Machine("the box", "ssh -p 7 box wan-backend serve", pairs)
    python = tmp_path / "python"
    python.touch()
    asked = settings(machine=box, models_folder="/models", device="cuda", idle_minutes=5, paused=True)
    found = command.find(asked, {command.PYTHON_VARIABLE: str(python)})
    assert found.arguments[:3] == [str(python), "-m", "wan_backend.relay"]
    end = found.arguments.index("--")
    assert found.arguments[end + 1 :] == ["ssh", "-p", "7", "box", "wan-backend", "serve"]
    given = " ".join(found.arguments[3:end])
    assert "--name the box" in given and "--pair /mnt/shots /srv/shots" in given and given.endswith("--paused")
    assert "/models" not in given and "cuda" not in given  # that machine's own affair


def test_without_a_backend_here_blenders_own_python_is_the_relay(command, settings):
    found = command.find(settings(machine=command.Machine("box", "ssh box wan-backend serve")), {})
    assert found.arguments[0] == sys.executable


def test_each_machine_has_a_folder_of_its_own(command, settings):
    folders = {
        command.find(settings(machine=command.Machine(name, "ssh box serve")), {}).arguments[4]
        for name in ("box", "box/..", "cloud")
    }
    assert len(folders) == 3 and all(".." not in folder for folder in folders)


def test_a_machine_without_a_command_is_a_sentence(command, settings):
    with pytest.raises(command.BackendMissing, match="box has no command yet"):
        command.find(settings(machine=command.Machine("box", "  ")), {})


def test_this_machine_is_tested_by_the_same_relay(command, settings, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.touch()
    monkeypatch.setenv(command.PYTHON_VARIABLE, str(python))
    words = command.test_command(settings()).arguments
    assert "--test" in words and words[words.index("--") + 1 :][1:4] == ["-m", "wan_backend", "serve"]
