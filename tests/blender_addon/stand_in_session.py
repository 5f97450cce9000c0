"""A session without a backend: tests of panels and operators set what it knows, and read what was asked of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest


class StandInDownloads:
    """Takes the place of KnownDownloads: nothing is downloaded."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.plans: dict[str, Any] = {}
        self.refused: dict[str, str] = {}
        self.busy = False
        self.asking: set[str] = set()
        self.all: dict[str, Any] = {}
        for name in ("ask", "start", "pause", "cancel", "forget"):
            setattr(self, name, lambda model, name=name: asked.append((f"{name} download", model)))

    def status(self, model: str) -> Any:
        """What the test put there."""
        return self.all.get(model)

    def unfinished(self) -> list[Any]:
        """All but those that are done."""
        return [status for status in self.all.values() if status.state != "done"]

    def is_begun(self, model: str) -> bool:
        """True if there is anything to show of it."""
        unfinished = model in {status.model for status in self.unfinished()}
        return unfinished or model in self.asking or model in self.plans or model in self.refused

    def is_asked(self, model: str) -> bool:
        """True for those that the test says."""
        return model in self.asking


def quick_lora(messages: Any) -> Any:
    """A LoRA that is not here."""
    return messages.ExtraRow(
        model="quick",
        label="4-step LoRA for Big",
        models=["big"],
        here=False,
        sentence="It is not on this machine.",
        licence="MIT",
        download_bytes=631_000_000,
        notes="Four steps.",
    )


class StandInServer:
    """What the operators and the panel use of the server."""

    def __init__(self, messages: Any, asked: list[tuple[Any, ...]], noted: dict[str, Any]) -> None:
        self.status = SimpleNamespace(
            state="ready",
            sentence="",
            log="/tmp/server.log",
            asks=False,
            remedy=SimpleNamespace(value="none", clears=False),
        )
        self.models = [
            messages.ModelRow(
                model=name,
                label=label,
                tasks=[messages.Task.TEXT_TO_VIDEO],
                here=here,
                sentence=f"{label} is somewhere.",
                frame_rate=messages.FrameRate(16),
                max_frames=81,
                sizes=[messages.SizeRow("360p", 640, 360), messages.SizeRow("480p", 832, 480, True)],
                licence="Apache-2.0",
                download_bytes=0 if here else 19_000_000_000,
            )
            for name, label, here in (("embedded", "Embedded", True), ("big", "Big", True), ("far", "Far", False))
        ]
        self.extras = [quick_lora(messages)]
        self.worker = messages.WorkerStatus(messages.WorkerState.READY, "cuda", "2.13")
        self.cards: list[Any] = []
        self.working_places = 1
        self.looking = ""
        self.link: Any = None
        self.machine_name = ""
        self.held_elsewhere = 0
        self.paused = False
        self.plan_query, self.job_plan_query = StandInPlanQuery(), StandInPlanQuery()
        self.training_plan_query = StandInPlanQuery()
        self.thumbnail_query = SimpleNamespace(of=lambda request: [])
        self.searched: dict[str, frozenset[str]] = {}
        """What a server would find, by text; it has yet to answer for any other."""
        self.search_query = SimpleNamespace(
            want=lambda text, jobs: None,
            found=lambda text: self.searched.get(text, frozenset()),
            waits=lambda text: text not in self.searched,
        )
        self.plans: dict[str, Any] = {}
        """Those of jobs, by job."""
        self.details = SimpleNamespace(plan_of=self.plans.get)
        self.wished: list[str] = []
        self.is_out_of_reach = False
        self.downloads = StandInDownloads(asked)
        self.free_card, self.name_transformer = noted["free_card"], noted["name_transformer"]
        self.pause = lambda paused: setattr(self, "paused", paused)

    @property
    def workers(self) -> list[Any]:
        """Its one worker."""
        return [self.worker]

    def want(self) -> None:
        """A draw may call this."""

    def want_details(self, job_id: str) -> None:
        """Noted; a draw may call this."""
        self.wished.append(job_id)

    def model(self, model_id: str) -> Any:
        """One of the models."""
        return next((row for row in self.models if row.model == model_id), None)

    def fetchable(self, known_id: str) -> Any:
        """One of the models or of what goes with them."""
        return next((row for row in (*self.models, *self.extras) if row.model == known_id), None)


class StandInPlanQuery:
    """Has one plan for whatever is asked, which the test says; `planned` is the request that was asked for last."""

    plan: Any = None
    sentence = ""

    def want(self, request: Any) -> None:
        """A draw may call this."""
        self.planned = request

    def plan_of(self, request: Any) -> Any:
        """Whatever the test says."""
        return self.plan


class StandInLive:
    """Shows what the test says."""

    is_on = is_of_shown = busy = False
    seen: Any = None
    rests = sentence = ""
    landed: Any = None
    shown: Any = None

    def turn(self, on: bool) -> None:
        """As the option does."""
        self.is_on = on

    def show(self, take: Any, seed_locked: bool = False, window: int = 0) -> None:
        """Noted; a draw may call this."""
        self.shown = take

    def landing(self, take: Any, seed_locked: bool = False) -> Any:
        """What the test says."""
        return self.landed

    def another(self) -> None:
        """Of no use here."""


class StandInSession:
    """What the operators and the panel use of the session; every call is noted in `asked`."""

    def __init__(self, messages: Any, job_list: Any) -> None:
        self.messages, self._job_list = messages, job_list
        self.asked: list[tuple[Any, ...]] = []
        self.server = StandInServer(messages, self.asked, self._notes("free_card", "name_transformer"))
        self.requests: dict[str, Any] = {}
        """Those that the backend has told of."""
        self.planned: list[Any] = []
        self.onto: list[str] = []
        """By planned take, the id of the strip that it is to come onto."""
        self.setup = SimpleNamespace(
            state="idle", plan=None, progress=None, sentence="", log="", **self._notes("ask", "create", "cancel")
        )
        self.machine_test = SimpleNamespace(busy=False, found=None, name="")
        self.collector = SimpleNamespace(busy=False, progress=0.0, sentence="")
        self.interchange = SimpleNamespace(busy=False, failed=False, sentence="")
        self.stale = SimpleNamespace(found={}, stale=frozenset(), unknown={})
        self.rebuilding = SimpleNamespace(entries=[], report="", busy=False, waits=False, count=lambda state: 0)
        self.live = StandInLive()
        self.landings: list[Any] = []
        """The jobs whose takes have landed since that was last asked."""
        self.file = SimpleNamespace(
            problems={}, notes={}, strip_id_of=lambda job_id: f"strip of {job_id[-1]}", pop_landings=self._pop_landings
        )
        self.on_change: list[Any] = []
        self.all: list[Any] = []
        self.jobs = SimpleNamespace(
            get=self._job, request_of=lambda job_id: None, is_on_server=lambda job_id: job_id not in self.local
        )
        self.local: set[str] = set()
        """Those that the server hasn't got."""
        self._queue: Any = None
        self._order: Any = None
        self.placeable: set[str] = set()
        self.elsewhere: set[str] = set()
        noted = self._notes("cancel", "retry", "clear", "restart", "collect", "hold", "resume", "move", "rebuild")
        for name, call in noted.items():
            setattr(self, name, call)

    def _notes(self, *names: str) -> dict[str, Any]:
        return {name: lambda *values, name=name: self.asked.append((name, *values)) for name in names}

    def _pop_landings(self) -> list[Any]:
        landings, self.landings = self.landings, []
        return landings

    def is_movable(self, job: Any) -> bool:
        """As the session's."""
        return job.state == "queued" and job.hold == "none" and job.job_id not in self.local

    def clear_one(self, job_id: str) -> bool:
        """Noted; False for those that the test doesn't say are placeable."""
        self.asked.append(("clear_one", job_id))
        return job_id in self.placeable

    def queue(self) -> tuple[Any, ...]:
        """What the test put there; the same object while nothing was added."""
        if self._queue is None or self._queue != tuple(self.all):
            self._queue, self._order = tuple(self.all), None
        return self._queue

    def order(self) -> Any:
        """Which of these are shown; the same object while nothing was added."""
        jobs = self.queue()
        if self._order is None:
            held = [job.state == "queued" and job.hold != "none" for job in jobs]
            keys = [(1 + held[place], place, job.job_id) for place, job in enumerate(jobs)]
            ended = [job.state.ended for job in jobs]
            self._order = self._job_list.JobOrder(
                going_on=tuple(key for key, over in zip(keys, ended, strict=True) if not over),
                ended=tuple(key for key, over in zip(keys, ended, strict=True) if over)[: self._job_list.MAX_ENDED],
                ended_count=sum(ended),
                held_count=sum(job.state.ended and job.held_elsewhere for job in jobs),
            )
        return self._order

    def _job(self, job_id: str) -> Any:
        return next((job for job in self.all if job.job_id == job_id), None)

    def request_of(self, job_id: str) -> Any:
        """What a job was asked for, unless the test took it away."""
        return self.requests.get(job_id)

    def belongs_here(self, job_id: str) -> bool:
        """True but for those that the test put elsewhere."""
        return job_id not in self.elsewhere

    def can_place(self, job_id: str) -> bool:
        """True for those that the test says."""
        return job_id in self.placeable

    def place(self, job_id: str, scene: Any) -> bool:
        """Noted."""
        self.asked.append(("place", job_id))
        return True

    def generate(self, scene: Any, take: Any, name: str = "", onto: str = "") -> str:
        """Noted."""
        self.asked.append(("generate", take.request, name))
        self.planned.append(take)
        self.onto.append(onto)
        return f"{len(self.planned) - 1:032x}"

    def train(self, scene: Any, take: Any) -> str:
        """Noted."""
        self.asked.append(("train", take.request))
        self.planned.append(take)
        return f"{len(self.planned) - 1:032x}"

    def add_training(self, job_id: str, state: str = "denoising", kept: tuple[int, ...] = (), **more: Any) -> Any:
        """A training that has kept LoRAs after these steps, in files that are not there unless `folder` has them."""
        m, folder = self.messages, more.pop("folder", "/tmp/loras/ink")
        training = m.Training("ink", "inkwsh", captions=["a dog"], **more.pop("asked", {}))
        request = m.TakeRequest("", "big", 1920, 1080, 49, m.FrameRate(24), 7, "/tmp/loras", training=training)
        loras = [m.TrainedLora(step, f"{folder}/ink-{step}.safetensors", f"{folder}/{step}.jpg") for step in kept]
        status = m.TrainingStatus([0.3, 0.2, 0.1], 10, 1.5, 12, loras, f"{folder}/without.jpg", "inkwsh", ["Dark."])
        return self.add(job_id, state, request=request, training=status, **more)

    def add(self, job_id: str, state: str = "done", **more: Any) -> Any:
        """One more job."""
        m = self.messages
        request = m.TakeRequest(
            prompt=more.pop("prompt", "fog over pines"),
            model="big",
            width=1920,
            height=1080,
            length_frames=81,
            frame_rate=m.FrameRate(24),
            seed=7,
            media_folder="/tmp/wan",
            resolution="360p",
            quality=m.Quality.BEST,
            task=m.Task(more.pop("task", "text_to_video")),
        )
        request = self.requests[job_id] = more.pop("request", request)
        job = m.JobStatus(job_id, m.JobState(state), m.JobSummary.of(request), **more)
        self.all.insert(0, job)
        return job


@pytest.fixture
def stand_in(scene, addon, extension: str, monkeypatch) -> Iterator[StandInSession]:
    """What the add-on takes for its session in this test."""
    import bpy

    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    session = StandInSession(messages, addon("jobs.job_list"))
    monkeypatch.setattr(addon("jobs.session"), "current", lambda: session)
    yield session
    panel_state = bpy.context.window_manager.wan_vse
    panel_state.rows.clear()
    panel_state.restart_needed = False


def set_prompts(settings: Any, prompt: str) -> None:
    """Have every task the same prompt."""
    own = ("image_prompt", "restyle_prompt", "gap_prompt", "extend_prompt", "previs_prompt", "edit_prompt")
    for name in ("prompt", *own):
        setattr(settings, name, prompt)


@pytest.fixture
def settings(stand_in: StandInSession, scene):
    """The scene's settings, with a prompt for each task and the embedded model."""
    settings = scene.wan_vse
    settings.model_id = "embedded"
    set_prompts(settings, "fog over pines")
    return settings
