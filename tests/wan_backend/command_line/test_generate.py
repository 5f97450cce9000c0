"""`generate` as a person runs it, with the fake worker; and once with the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import FAKE_WORKER, ROOT, processes_with
from wan_backend.command_line import generate as generate_verb

FAKE = ["--worker-command", json.dumps([sys.executable, str(FAKE_WORKER)])]


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_folder.write(folder / "embedded")
    return folder


@pytest.fixture
def generate(tmp_path, models_folder):
    """generate(prompt, output, *flags) is the finished process."""
    # Python leaves Ctrl+C alone where it was ignored at the start, as it is in what a shell runs in the background.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    environment["XDG_STATE_HOME"] = str(tmp_path / "temporary state")

    def start(prompt: str, output: str, *flags: str, wait: bool = True, fake: bool = True, **more: str):
        command = [sys.executable, "-m", "wan_backend", "generate", prompt, "-o", output]
        command += [*flags, "--models-folder", str(models_folder), *(FAKE if fake else [])]
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**environment, **more}, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    yield start
    signal.signal(signal.SIGINT, inherited)
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


def visible(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} - {"temporary", "temporary state"}


def test_loras_are_sent_with_their_strengths_and_refused_in_a_sentence(generate, tmp_path):
    code, _, err = generate("fog", "take", "--lora", "style.safetensors=0.5x")
    assert code == 2 and "'0.5x' is not a strength; give a LoRA as FILE, FILE=0.8 or FILE=0.8,high" in err
    (tmp_path / "style.pt").write_bytes(b"")
    code, _, err = generate("fog", "take", "--lora", "style.pt=0.5")
    assert code == 2 and 'The LoRA "style.pt" is a pickled file' in err
    assert visible(tmp_path) == {"style.pt"}


def test_pictures_to_keep_are_given_with_their_frames_or_refused_in_a_sentence(generate, tmp_path):
    code, _, err = generate("fog", "take", "--keep", "storm.png")
    assert code == 2 and "'storm.png' has no frame; give a picture to keep as '24:picture.png'." in err
    code, _, err = generate("fog", "take", "--keep", "9:gone.png")
    assert code == 2 and "gone.png is no longer there" in err
    (tmp_path / "a: storm.png").write_bytes(b"\x89PNG")
    code, _, err = generate("fog", "take", "--keep", "9:a: storm.png", "--keep", "9:a: storm.png")
    assert code == 2 and "Two pictures are to be kept at frame 9" in err
    assert visible(tmp_path) == {"a: storm.png"}


def test_words_are_given_with_their_frames_or_refused_in_a_sentence(generate, tmp_path):
    code, _, err = generate("fog", "take", "--words", "the sun rises")
    assert code == 2 and "'the sun rises' has no times; give words as '0-40: the sun rises'." in err
    code, _, err = generate("", "take", "--words", "0-9: fog", "--words", "9-20: rain: a lot")
    assert code == 2 and "Frames 9 to 9 have two words at once" in err
    assert generate("", "take", "--words", "0-9: fog", "--words", "10-20: rain: a lot")[0] == 0
    assert visible(tmp_path) == {"take"}


@pytest.mark.parametrize(("said", "strength", "expert"), [
    ("", 1, "auto"), ("=0.5", 0.5, "auto"), ("=high", 1, "high"), ("=0.5,low", 0.5, "low"), ("=-1,both", -1, "both"),
])  # fmt: skip
def test_a_lora_may_say_its_strength_and_its_expert(tmp_path, said, strength, expert):
    use = generate_verb._lora(f"{tmp_path}/a=b,c.safetensors{said}" if said else f"{tmp_path}/c.safetensors")
    assert (use.strength, use.expert, Path(use.path).parent) == (strength, expert, tmp_path)


@pytest.mark.parametrize("said", ["=", "=0.5,", "=0.5,auto", "=,", "=high,0.5", "=0.5,HIGH"])
def test_a_lora_that_says_something_else(said):
    with pytest.raises(ValueError, match="is not a strength; give a LoRA as FILE"):
        generate_verb._lora(f"a.safetensors{said}")


def test_a_folder_of_frames(generate, tmp_path):
    code, out, err = generate("fog", "take one", "--frames", "7", "--size", "144x90")
    assert code == 0, err
    assert out.strip() == str(tmp_path / "take one")
    assert len(list((tmp_path / "take one").glob("*.png"))) == 7
    assert "144x90 became 144x96" in err and "100% Done.\n7 frames of 144x96." in err
    settings = json.loads((tmp_path / "take one" / "take.json").read_bytes())
    assert settings["request"]["length_frames"] == 7 and settings["request"]["media_folder"] == str(tmp_path)
    assert settings["take"]["folder"] == str(tmp_path / "take one")
    assert visible(tmp_path) == {"take one"} and not list((tmp_path / "temporary").iterdir())


def test_all_flags_reach_the_request(generate, tmp_path):
    flags = "--frames 5 --size 128p --seed 7 --steps 8 --guidance 2.5 --quality best --device cpu --memory-budget-gib 1"
    flags += " --guidance-interval .25-0.5 --step-cache on"
    code, _, err = generate("fog", "out", *flags.split(), "--negative", "rain", "--matrices", "fast_8_bit")
    assert code == 0, err
    request = json.loads((tmp_path / "out" / "take.json").read_bytes())["request"]
    assert (request["seed"], request["steps"], request["guidance_scale"], request["quality"]) == (7, 8, 2.5, "best")
    assert (request["guidance_interval"], request["step_cache"]) == ({"start": 0.25, "end": 0.5}, "on")
    assert "isn't calibrated" in err and "Calibrate with This Take: --step-cache calibrate\n" in err
    assert (request["negative_prompt"], request["resolution"]) == ("rain", "128p")
    assert request["matrix_precision"] == "fast_8_bit"
    assert request["frame_rate"]["fps"] == 16


def test_the_embedded_model_makes_two_seconds_where_nothing_says_how_long(generate, tmp_path):
    assert generate("fog", "out")[0] == 0
    assert json.loads((tmp_path / "out" / "take.json").read_bytes())["request"]["length_frames"] == 33


def test_an_empty_folder_is_used_and_a_take_is_replaced_only_when_asked(generate, tmp_path):
    (tmp_path / "out").mkdir()
    assert generate("fog", "out", "--frames", "5")[0] == 0
    code, _, err = generate("fog", "out", "--frames", "6")
    assert code == 2 and "--overwrite" in err
    assert generate("fog", "out", "--frames", "6", "--overwrite")[0] == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


@pytest.mark.parametrize(
    ("prompt", "output", "flags", "words"),
    [
        ("", "out", [], "prompt is empty"),
        ("fog", "out.gif", [], "'.gif' is not known"),
        ("fog", "no/such/out.mp4", [], "There is no folder"),
        ("fog", "full", [], "other files in it"),
        ("fog", "file", [], "is a file"),
        ("fog", "full.mp4", [], "is a folder"),
        ("fog", "there.mkv", [], "exists already"),
        ("fog", "out", ["--size", "big"], "give one as 832x480, or one of 128p"),
        ("fog", "out", ["--size", "0x5"], "no pixels"),
        ("fog", "out", ["--model", "nonsense"], "there are embedded"),
        ("fog", "out", ["--frames", "0"], "give 1 to 2000 frames"),
        ("fog", "out", ["--seed", "-1"], "seed"),
        ("fog", "out", ["--guidance-interval", "half"], "'half' is no part of the steps; give a start and an end"),
        ("fog", "out", ["--guidance-interval", "0.5-0.2"], "Guidance from 0.5 to 0.2 of the steps is none"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(generate, tmp_path, prompt, output, flags, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    (tmp_path / "full.mp4").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "there.mkv").write_text("")
    before = visible(tmp_path)
    code, out, err = generate(prompt, output, *flags)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1
    assert visible(tmp_path) == before


def test_a_model_that_is_not_here_is_said_with_the_command(generate, tmp_path):
    code, _, err = generate("fog", "out", "--model", "wan2.1-t2v-14b", HF_HUB_CACHE=str(tmp_path / "cache"))
    assert code == 2 and "not on this machine" in err
    assert err.splitlines()[1].endswith("-m wan_backend models --download wan2.1-t2v-14b")


def test_a_worker_that_dies_is_said_with_its_log(generate, tmp_path):
    code, _, err = generate("exit:3", "out", "--frames", "5")
    assert code == 1 and "told to exit" in err
    assert Path(err.strip().rpartition("Its log: ")[2]).is_file()
    assert visible(tmp_path) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_cleanly(generate, tmp_path, number):
    process = generate("slow:0.2 frames:500", "out", wait=False, MARK="ctrl-c-test")
    for line in process.stderr:
        if "decoding" in line:
            break
    assert len(processes_with("ctrl-c-test")) == 3
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Canceled." in err and "Traceback" not in err
    assert processes_with("ctrl-c-test") == [] and visible(tmp_path) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_generate_leaves_no_process(generate, tmp_path):
    process = generate("slow:0.2 frames:500", "out", wait=False, MARK="killed-generate-test")
    for line in process.stderr:
        if "decoding" in line:
            break
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while processes_with("killed-generate-test") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with("killed-generate-test") == []
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "output", ["fog", *(pytest.param(name, marks=pytest.mark.long) for name in ("fog.mp4", "fog.mkv"))]
)
def test_the_real_worker_and_the_stand_in(tmp_path, vace_folder, output):
    """Server, worker, pipeline and writer, all real; the model is the tiny random one."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "embedded").symlink_to(vace_folder)
    flags = f"--frames 6 --size 128x96 --steps 2 --device cpu --models-folder {tmp_path}/models".split()
    done = subprocess.run(
        [sys.executable, "-m", "wan_backend", "generate", "fog over pines", "-o", str(tmp_path / output), *flags],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    import imageio.v3

    if output == "fog":
        frames = [imageio.v3.imread(file) for file in sorted((tmp_path / output).glob("*.png"))]
    else:
        frames = list(imageio.v3.imiter(tmp_path / output, plugin="pyav"))
    assert len(frames) == 6 and all(frame.shape == (96, 128, 3) for frame in frames)
    assert frames[0].std() > 1


def test_what_helps_the_next_take_stays_where_other_servers_have_it(generate, tmp_path):
    own = tmp_path / "temporary state" / "wan-backend"
    assert generate("fog", "out", "--frames", "5")[0] == 0
    assert list(own.glob("compiled/*/triton")) and not (own / "jobs").exists(), "its queue is its own"
    assert generate("fog", "again", "--frames", "5", "--state", "mine")[0] == 0
    assert list((tmp_path / "mine").glob("compiled/*/triton"))
