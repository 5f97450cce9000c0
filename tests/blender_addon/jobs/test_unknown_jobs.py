"""A .blend from anybody: whatever it holds, nothing outside is written or removed; honest takes are placed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import bpy
import pytest
from fake_backend_frames import png

from tests.blender_addon.ui.test_drawing import Recorder

JOB = "f" * 32
OTHER = "e" * 32
DEEP = "[" * 50_000
ROLES = ("footage", "first", "last", "before", "after", "depth", "look")


def request(**changed) -> str:
    """What a placeholder keeps, as a stranger may have changed it."""
    usual = {
        "prompt": "a red ball",
        "model": "embedded",
        "width": 256,
        "height": 144,
        "length_frames": 24,
        "frame_rate": {"fps": 24},
        "seed": 1,
        "media_folder": "VICTIM/m",
        "task": "restyle",
        "sources": [source()],
        "origin": {"project": "", "project_id": "", "scene": "Scene", "channel": 1, "start": 1},
    }
    return json.dumps({**usual, **changed})


def source(**changed) -> dict[str, object]:
    return {
        **{"role": "footage", "folder": "VICTIM/Videos/footage", "files": ["gone.png"], "frames": 24, "rendered": True},
        **changed,
    }


def asked(**changed) -> str:
    wanted = {"role": "footage", "start": 1, "end_exclusive": 25, "strip_names": ["src"], "depth": False}
    strip = {"name": "src", "start": 1, "end_exclusive": 25, "content_start": 1, "channel": 2}
    return json.dumps(
        {"task": "restyle", "start": 1, "end_exclusive": 25, "sources": [strip], "wanted": [wanted], **changed}
    )


CRAFTED = {
    # ids that are paths
    "job: the folder above": {"job": ".."},
    "job: a path": {"job": "VICTIM"},
    "job: settings of another program": {"job": "VICTIM/config/settings"},
    "job: far up, then down": {"job": "x/" + "../" * 40 + "VICTIM/Documents"},
    "job: a device": {"job": "NUL"},
    "job: with a drive": {"job": "C:\\Windows"},
    "job: a stream": {"job": "a" * 32 + ":x"},
    "job: with a newline": {"job": "a" * 32 + "\n"},
    "job: capitals": {"job": "A" * 32},
    "job: endless": {"job": "a" * 100_000},
    "job: empty": {"job": ""},
    # types
    "job: a dict": {"job": {"a": 1}},
    "job: a number": {"job": 7},
    "job: bytes": {"job": b"\xff\x00"},
    "role: a number": {"role": 3},
    "role: another word": {"role": "master"},
    "strip: a number": {"strip": 5},
    "strip: a dict": {"strip": {"a": 1}},
    "first: a word": {"first": "abc"},
    "first: infinite": {"first": float("inf")},
    "first: the least there is": {"first": -(2**31)},
    "was_start: a list": {"was_start": [1, 2]},
    "was_length: a dict": {"was_length": {"a": 1}},
    "declined: a list": {"declined": [1, 1]},
    "request: a list": {"request": [1, 2]},
    "request: of another kind": {"request": "[]"},
    "request: infinite": {"request": '{"prompt": 1e999}'},
    "request: deep": {"request": DEEP},
    "request: huge": {"request": request(prompt="x" * (2 << 20))},
    "request: half a character": {"request": request(prompt="\ud800")},
    "request: no rate": {"request": request(frame_rate={"fps": 0})},
    "asked: deep": {"asked": DEEP},
    "asked: of wrong types": {"asked": asked(start="1", sources=[{"name": 7}])},
    "asked: of a million frames": {"asked": asked(end_exclusive=1 << 30)},
    "known ends: deep": {"ends": DEEP},
    # places
    "media: another's folder": {"request": request(media_folder="VICTIM/Videos")},
    "media: with dots": {"request": request(media_folder="/film/../VICTIM/Videos")},
    "media: the root": {"request": request(media_folder="/")},
    "media: relative to the .blend": {"request": request(media_folder="//../Videos")},
    "media: a share": {"request": request(media_folder="\\\\evil\\share")},
    "files: a path": {"request": request(sources=[source(files=["../../config/settings.json"])])},
    "files: a million": {"request": request(sources=[source(files=[{"before": "a", "count": 10**9}])])},
    **{
        f"role {role}": {
            "request": request(media_folder="VICTIM/Videos", sources=[source(role=role)]),
            "asked": asked(wanted=[{"role": role, "start": 1, "end_exclusive": 25, "strip_names": [], "depth": False}]),
        }
        for role in ROLES
    },
    "project: a path": {"project": "../../../../VICTIM/evil"},
    "project: a number": {"project": 9},
}
"""By name: which properties a placeholder (and its scene) has that differ from an honest one's."""


@pytest.fixture
def victim(tmp_path) -> Path:
    """What other programs and the person have on the disk, with names that the add-on also uses."""
    folder = tmp_path / "victim"
    for name in (
        *(f"Videos/sources/{JOB}/{role}/rushes.mov" for role in ROLES),
        *(f"Videos/{role}/rushes.mov" for role in ROLES),
        f"Videos/{JOB}/years.mov",
        f"Videos/{JOB}.partial/years.mov",
        "Documents/novel.txt",
        "config/settings.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    return folder


def all_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def put(strip, scene, crafted: dict[str, object], victim: Path) -> None:
    def at_victim(value: object) -> object:
        return value.replace("VICTIM", victim.as_posix()) if isinstance(value, str) else value

    usual = {"job": JOB, "strip": "d" * 32, "role": "placeholder", "request": request(), "asked": asked()}
    for name, value in {**usual, **crafted}.items():
        if name in ("project", "ends"):
            scene["wan_vse_project" if name == "project" else "wan_vse_known_ends"] = at_victim(value)
        else:
            strip[f"wan_vse_{name}"] = at_victim(value)


@pytest.mark.parametrize("name", CRAFTED)
def test_what_a_stranger_wrote(name, renderer, pumped, scene, addon, tmp_path, victim, user_folder) -> None:
    before = all_below(victim)
    compat, session = addon("timeline.compat"), pumped.session
    scene.sequence_editor_create()
    strips = compat.strips(scene.sequence_editor)
    compat.new_color(strips, "src", 2, 1, 24)
    put(compat.new_color(strips, "odd", 1, 1, 24), scene, CRAFTED[name], victim)
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "stranger.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film" / "stranger.blend"))
    scene = bpy.context.scene
    session.server.start()
    pumped.until(lambda: session.server.listed)
    mine = pumped.ask(scene, "fog", start=50, frames=4)

    def takes() -> list[object]:
        return [s.get("wan_vse_job") for s in compat.all_strips(scene) if s.get("wan_vse_role") == "take"]

    pumped.until(lambda: mine in takes())
    for _ in range(20):
        session.tick()
    strange = [job for job in session.queue() if job.job_id != mine]
    for job in strange:
        assert addon("timeline.untrusted").id_in({"k": job.job_id}, "k")
        assert job.sentence.endswith(".")
        session.retry(job.job_id)
    until = time.monotonic() + 30
    while any(not job.state.ended for job in session.queue()) and time.monotonic() < until:
        session.tick()
        time.sleep(0.01)
    for job in session.queue():
        assert job.state.ended and job.sentence, job
    session.cancel(JOB)
    bpy.ops.wm.save_mainfile()
    session.clear()
    assert all_below(victim) == before
    assert not [path for path in victim.rglob("*") if path.name in ("m", "evil")]
    made = {path.name for path in tmp_path.iterdir()}
    assert made <= {"victim", "film"}, made


@pytest.mark.parametrize(
    ("changed", "says", "offered"),
    [
        ({}, "press Retry to make it, in ", True),
        ({"request": request(sources=[], task="text_to_video"), "asked": ""}, "press Retry to make it, in ", True),
        ({"asked": ""}, "no longer known: delete this placeholder", False),
        ({"asked": "]"}, "no longer known: delete this placeholder", False),
        ({"asked": asked(wanted=[])}, "no longer known: delete this placeholder", False),
        (
            {"request": request(origin={"project": "", "project_id": "", "scene": "Gone", "channel": 1, "start": 1})},
            "no longer known: delete this placeholder",
            False,
        ),
        ({"request": "{}"}, "can't be read: delete it", False),
        ({"request": request(seed=-1)}, "can't be read: delete it", False),
        ({"request": request(prompt="x" * 20_000)}, "can't be read: delete it", False),
    ],
)
def test_retry_is_offered_where_it_can_lead_to_a_take(
    pumped, scene, addon, tmp_path, user_folder, changed, says, offered
) -> None:
    compat, session = addon("timeline.compat"), pumped.session
    strips = compat.strips(scene.sequence_editor_create())
    compat.new_color(strips, "src", 2, 1, 24)
    put(compat.new_color(strips, "odd", 1, 1, 24), scene, changed, tmp_path)
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"))
    session.server.start()
    session.strips_changed()
    pumped.until(lambda: session.jobs.get(JOB))
    job = session.jobs.get(JOB)
    assert says in job.sentence
    if offered:
        assert job.sentence.endswith(f" {tmp_path / 'film' / 'wan'}.")
    retry = addon("operators.queue_jobs").WAN_VSE_OT_retry_job
    pumped.until(lambda: session.server.status.state == "ready")
    assert (retry.job_refusal(job) == "") == offered
    drawn = Recorder()
    addon("ui.job_box").draw_job(drawn, bpy.context, job)
    assert ("retry_job" in drawn.orders) == offered


def test_what_the_backend_would_refuse_is_said_in_place_of_retry(pumped, scene, addon, tmp_path, user_folder) -> None:
    """The plan of a chosen job that nobody has is asked for, as the panel's is."""
    compat, session = addon("timeline.compat"), pumped.session
    text = request(sources=[], task="text_to_video", prompt="", model="embedded")
    put(
        compat.new_color(compat.strips(scene.sequence_editor_create()), "odd", 1, 1, 24),
        scene,
        {"request": text},
        tmp_path,
    )
    session.server.start()
    session.strips_changed()
    pumped.until(lambda: session.jobs.get(JOB))
    job = session.jobs.get(JOB)
    pumped.until(lambda: session.server.status.state == "ready")
    query, messages = session.server.job_plan_query, addon("jobs.server_queries")
    query.want(session.request_of(JOB))
    pumped.until(lambda: query.plan)
    problem = messages.ProblemKind.BAD_PROMPT
    query.plan = replace(query.plan, problem=type(job.problem)(problem, "The prompt is empty; describe it."))
    drawn = Recorder()
    addon("ui.job_box").draw_job(drawn, bpy.context, job)
    assert "retry_job" not in drawn.orders and "The prompt is empty" in " ".join(drawn.words)
    refusal = addon("operators.queue_jobs").WAN_VSE_OT_retry_job.job_refusal(job)
    assert refusal == "The prompt is empty; describe it"


def test_an_appended_scene_does_not_say_where_takes_go(pumped, scene, addon) -> None:
    project, folder = addon("jobs.project"), addon("jobs.unknown_jobs").own_folder
    project.forget()
    planned = folder()
    other = bpy.data.scenes.new("A")
    for value in ("../../evil", OTHER, 7):
        other["wan_vse_project"] = value
        assert folder() == planned
    assert project.ensure() == os.path.basename(planned)
    assert other["wan_vse_project"] == os.path.basename(planned), "it is this film's now"
    project.forget()
    assert project.ids() == {os.path.basename(planned)}


def test_a_linked_scene_says_nothing_of_this_film(pumped, scene, addon, tmp_path) -> None:
    project = addon("jobs.project")
    scene.name, scene["wan_vse_project"], scene["wan_vse_known_ends"] = "Theirs", OTHER, json.dumps([JOB])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "theirs.blend"), link=True) as (there, here):
        here.scenes = there.scenes
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "mine.blend"))
    assert project.ids() == set() and project.read_ends() == []
    assert [each.name for each in bpy.data.scenes if each.library is not None] == ["Theirs"]
    compat, landing = addon("timeline.compat"), addon("jobs.placing")
    assert compat.own_scene("Theirs") is None
    status = addon("jobs.unknown_jobs").unreadable(JOB)[0]
    assert landing.recorded_scene(status).library is None


def test_no_strip_asks_for_a_training(addon) -> None:
    read = addon("timeline.untrusted").request
    assert read(request(sources=[])) is not None
    assert read(request(sources=[], training={"name": "theirs"})) is None


def test_a_take_is_looked_for_where_this_films_may_lie(pumped, scene, addon, tmp_path, user_folder) -> None:
    unknown_jobs, read = addon("jobs.unknown_jobs"), addon("timeline.untrusted").request
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"))
    take = {"folder": "/", "first_file": "0001.png", "media_format": "png", "frames": 1, "width": 64, "height": 36}
    for place, state in (("elsewhere", "interrupted"), ("film/wan", "done"), ("film/more", "done")):
        folder = tmp_path / place / JOB
        folder.mkdir(parents=True)
        (folder / "0001.png").write_bytes(b"x")
        settings = {"take": {**take, "frame_rate": {"fps": 24}}}
        (folder / "take.json").write_text(json.dumps(settings))
        text = request(media_folder=str(tmp_path / place), sources=[source(folder=str(tmp_path / "gone"))])
        status, own = unknown_jobs.unknown(JOB, read(text))
        assert status.state.value == state, place
        assert own.media_folder == str(tmp_path / "film" / "wan")
        assert own.origin.project == str(tmp_path / "film" / "a.blend")
        assert own.sources[0].folder == os.path.join(own.media_folder, "sources", JOB, "footage")
        for broken in ({"frames": 10**9}, {"first_file": "../../x.png"}, {"frames": "9"}):
            (folder / "take.json").write_text(json.dumps({"take": {**settings["take"], **broken}}))
            status, _ = unknown_jobs.unknown(JOB, read(text))
            assert status.state.value == "interrupted"
        (folder / "take.json").unlink()


def test_collect_takes_copies_takes_alone(pumped, scene, addon, tmp_path, user_folder) -> None:
    collect, compat = addon("jobs.collect"), addon("timeline.compat")
    strips = compat.strips(scene.sequence_editor_create())
    take, secret = tmp_path / "far" / JOB, tmp_path / "far" / "secret"
    for folder in (take, secret):
        folder.mkdir(parents=True)
        for name in ("0001.png", "id_rsa", "take.json"):
            (folder / name).write_bytes(b"x")
    os.symlink(secret / "id_rsa", take / "0002.png")
    for index, folder in enumerate((take, secret)):
        strip = compat.new_image(strips, f"s{index}", str(folder / "0001.png"), 1 + index, 1)
        strip["wan_vse_job"], strip["wan_vse_role"] = (JOB, OTHER)[index], "take"
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"), relative_remap=False)
    pumped.session.collect()
    pumped.until(lambda: not pumped.session.collector.busy)
    assert sorted(all_below(tmp_path / "film" / "wan")) == [f"{JOB}/0001.png", f"{JOB}/take.json"]
    sentence = pumped.session.collector.sentence
    assert sentence.startswith("1 take is beside the .blend file") and "1 folder stays where it is" in sentence
    assert collect.folders_elsewhere() == [secret]


def test_what_another_window_makes_is_said_and_lands_here_too(pumped, scene, addon, tmp_path, user_folder) -> None:
    compat, session = addon("timeline.compat"), pumped.session
    (tmp_path / "film").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"))
    session.server.start()
    pumped.until(lambda: session.server.state_folder)
    kept = Path(session.server.state_folder, "jobs", JOB)
    kept.mkdir(parents=True)
    strips = compat.strips(bpy.context.scene.sequence_editor_create())
    # Not before the folder: a job that is asked for while nobody has it is one to be made here.
    put(
        compat.new_color(strips, "odd", 1, 1, 24),
        bpy.context.scene,
        {"asked": "", "request": request(sources=[])},
        tmp_path,
    )
    session.strips_changed()
    pumped.until(lambda: session.jobs.get(JOB))
    assert session.jobs.get(JOB).sentence == addon("jobs.unknown_jobs").HELD.sentence
    folder = tmp_path / "film" / "wan" / JOB
    folder.mkdir(parents=True)
    for index in range(24):
        (folder / f"{index + 1:04d}.png").write_bytes(png(index))
    take = {"folder": "/", "first_file": "0001.png", "media_format": "png", "frames": 24, "width": 64, "height": 36}
    (folder / "take.json").write_text(json.dumps({"take": {**take, "frame_rate": {"fps": 24}}}))
    pumped.until(lambda: [s.get("wan_vse_role") for s in compat.all_strips(bpy.context.scene)] == ["take"])


def test_what_a_take_was_made_from_is_read_where_the_film_plays_it(pumped, scene, addon, tmp_path, user_folder) -> None:
    unknown_jobs, compat, read = (
        addon("jobs.unknown_jobs"),
        addon("timeline.compat"),
        addon("timeline.untrusted").request,
    )
    (tmp_path / "film" / "wan").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for name in ("0001.png", "0002.png"):
        (tmp_path / "secret" / name).write_bytes(png(1))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film" / "a.blend"))

    def sources(folder: Path, **more) -> list[tuple[str, bool]]:
        said = source(folder=str(folder), files=["0001.png"], frames=1, rendered=False, **more)
        own = unknown_jobs.with_own_folders(read(request(sources=[said])), JOB)
        return [(each.folder, each.rendered) for each in own.sources]

    anew = [(str(tmp_path / "film" / "wan" / "sources" / JOB / "footage"), True)]
    secret = [(str(tmp_path / "secret"), False)]
    assert sources(tmp_path / "secret") == sources(tmp_path / "film") == anew
    assert sources(tmp_path / "film" / "wan" / "x") == [(str(tmp_path / "film" / "wan" / "x"), False)]
    strips = compat.strips(scene.sequence_editor_create())
    compat.new_image(strips, "other", str(tmp_path / "secret" / "0002.png"), 1, 1)
    assert sources(tmp_path / "secret") == anew, "another picture of that folder is played"
    compat.new_image(strips, "that", str(tmp_path / "secret" / "0001.png"), 2, 1)
    assert sources(tmp_path / "secret") == secret
    assert sources(tmp_path / "secret", is_movie=True) == anew


def kept_settings(scene):
    """The panel's settings as the file keeps them, whatever they are; nothing checks what is put there."""
    scene.wan_vse.prompt = "fog"
    system = getattr(scene, "bl_system_properties_get", None)
    kept = (scene if system is None else system())["wan_vse"]
    for name in list(kept.keys()):
        del kept[name]
    return kept


@pytest.mark.parametrize(
    "kept",
    [
        {"quality": 77, "media_format": -1, "conform": 99, "guide": 99, "length_mode": 9, "prompt_source": 9},
        {"matrix_precision": 9},
        {"length_seconds": float("nan"), "length_mode": 1},
        {"length_seconds": float("inf"), "length_mode": 1, "strength": float("nan"), "freedom": float("inf")},
        {"length_frames": -7, "extend_frames": -4, "seed": -9, "seed_locked": 1},
        {"loras": [{"path": "/x", "use": 1, "expert": 9, "strength": float("nan")}]},
        {"prompt": 5, "loras": 5, "model_id": {"a": 1}},
    ],
)
@pytest.mark.parametrize("task", ["TEXT_TO_VIDEO", "RESTYLE", "PREVIS", "EXTEND"])
def test_settings_that_no_panel_can_make(kept, task, scene, addon) -> None:
    """Blender keeps to a property's limits where it is set, and not where it is read from a file."""
    kept_settings(scene).update(kept)
    planned_takes, targets, settings = addon("jobs.planned_takes"), addon("timeline.targets"), scene.wan_vse
    target = targets.at_playhead(scene, settings)
    if isinstance(target, str):
        assert target.endswith(".")
        target = targets.Target(targets.Task.TEXT_TO_VIDEO, 1, 25, 1)
    made = addon("jobs.request").make_request(scene, settings, None, "fog", target)
    made = planned_takes._with_task(made, settings, planned_takes.Task[task])
    assert 0 <= made.strength <= 1 and made.seed >= 0 and made.length_frames >= 1
    assert all(abs(use.strength) < 100 for use in made.loras)
    json.dumps(addon("jobs.placing").to_json(made), allow_nan=False)


def test_texts_of_the_panel_that_are_none_are_put_back(pumped, scene, addon, tmp_path) -> None:
    kept, bad = kept_settings(scene), b"\xff\xfe"
    scene.wan_vse.loras.add()
    scene.wan_vse.negative_prompt = "fog"
    kept["prompt"] = kept["model_id"] = bad
    kept["loras"][0]["path"] = kept["loras"][0]["name"] = bad
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "odd.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "odd.blend"))
    settings = bpy.context.scene.wan_vse
    assert (settings.prompt, settings.model_id, settings.negative_prompt) == ("", "", "fog")
    assert [lora.name for lora in settings.loras] == [""]
    assert isinstance(settings.loras[0].path, str), "Blender gives paths with what stands for such bytes"
