"""A backend for the tests of the add-on: speaks the protocol in plain Python, makes real PNG files, fails on demand.

Started as `python fake_backend.py ... --state FOLDER`. What happens to a job is a word in its prompt:
refuse, fail, hang (never ends), die (at work), slow, garbage (bad lines between good ones), half (lines in halves).
How it is is the variable FAKE_BACKEND: die, mute (never greets), old (another protocol), leaden (does not leave), deaf
(takes what it is told, but answers no ping), forgetful (dies once, having done what it was told, before it says so).
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # a backend is started without its script's folder on the path

from fake_backend_frames import HEIGHT, WIDTH, png

MANNER = os.environ.get("FAKE_BACKEND", "")
STATE = Path(sys.argv[sys.argv.index("--state") + 1])
JOBS_FILE = STATE / "fake_jobs.json"
DOWNLOADS_FILE = STATE / "fake_downloads.json"
PAGE = 3
"""So few jobs are on a page, whatever is asked for: there are more pages than one."""
ENDED = ("done", "failed", "cancelled", "interrupted")


def write_take(job_id: str, request: dict) -> dict:
    """A whole take on the disk, as a worker leaves it; returns the Take."""
    folder = Path(request["media_folder"]) / job_id
    partial = folder.with_name(job_id + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    handle = request.get("handle_frames", 0)
    frames = min(request["length_frames"], 65) + 2 * handle
    made_before = len(list(folder.parent.glob("*/take.json")))
    for index in range(frames):
        (partial / f"{index + 1:04d}.png").write_bytes(png(index))
    take = {
        "folder": str(folder),
        "first_file": "0001.png",
        "media_format": "png",
        "frames": frames,
        "width": WIDTH,
        "height": HEIGHT,
        "frame_rate": request["frame_rate"],
        "handle_before": handle,
        "handle_after": handle,
        "start_jump": jump_of(request["prompt"], made_before),
    }
    settings = {"format": 1, "job_id": job_id, "request": request, "take": take}
    (partial / "take.json").write_text(json.dumps(settings))
    partial.rename(folder)
    return take


def jump_of(prompt: str, made_before: int) -> dict | None:
    """Of a prompt such as "jumps 2.3 0.8": the first take of the film joins at 2.3, and those after it at 0.8."""
    figures = [float(word) for word in prompt.partition("jumps ")[2].split()]
    if not figures:
        return None
    return {"motion": figures[min(made_before, len(figures) - 1)], "level": 0.1, "color": 0.1}


def status(job: dict) -> dict:
    """The job as its status tells it: without what was asked for."""
    request = job["request"]
    summary = {
        "title": " ".join(request["prompt"].split())[:200],
        "task": request.get("task", "text_to_video"),
        "model": request["model"],
        "seed": request["seed"],
        "length_frames": request["length_frames"],
        "origin": request.get("origin", {}),
        "training": (request.get("training") or {}).get("kind"),
    }
    return {**{name: value for name, value in job.items() if name not in ("request", "retried")}, "summary": summary}


def problem_of(job: dict) -> dict | None:
    """Why the job fails, by its prompt or by what it is made from; None if it doesn't."""
    request = job["request"]
    if "fail" in request["prompt"] and not job.get("retried"):
        return {"kind": "out_of_memory", "sentence": "The card is full: choose a smaller size."}
    if "grows" in request["prompt"] and not all(source.get("rendered") for source in request["sources"]):
        return {"kind": "render_first", "sentence": "One of its pictures has another size: press Retry."}
    numbers = (request.get("camera") or {}).get("numbers")
    if numbers and numbers[0] < 0:
        return {"kind": "bad_source", "sentence": "The camera is mirrored: see to its scale."}
    return None


def request_training(job: dict) -> dict | None:
    """What is trained, if the job is a training."""
    return job["request"].get("training")


def trained(job: dict) -> dict:
    """How far a training is: from its second step on, a LoRA of each step is on the disk."""
    asked = job["request"]["training"]
    folder = Path(job["request"]["media_folder"]) / asked["name"]
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for step in range(2, job["step"] + 1):
        file = folder / f"{asked['name']}-{step}.safetensors"
        file.write_bytes(b"")
        kept.append({"step": step, "path": str(file)})
    curve = [1 / (step + 1) for step in range(job["step"])]
    return {"curve": curve, "clips": len(job["request"]["sources"]), "kept": kept, "trigger": asked["trigger"]}


class FakeBackend:
    """Its jobs, and the lines that it sends."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.paused = "--paused" in sys.argv
        self.lines: queue.Queue = queue.Queue()
        self.sending = threading.Lock()
        if JOBS_FILE.is_file():
            self.jobs = json.loads(JOBS_FILE.read_text())
        self.downloads: dict[str, dict] = {}
        if DOWNLOADS_FILE.is_file():
            self.downloads = json.loads(DOWNLOADS_FILE.read_text())
        for known in self.downloads.values():
            known["state"] = "paused" if known["state"] == "running" else known["state"]
        for job in self.jobs.values():
            if job["state"] not in (*ENDED, "queued"):
                problem = {"kind": "interrupted", "sentence": "The backend was ended: press Retry."}
                job.update(state="interrupted", problem=problem)

    def keep(self) -> None:
        STATE.mkdir(parents=True, exist_ok=True)
        JOBS_FILE.with_suffix(".new").write_text(json.dumps(self.jobs))
        os.replace(JOBS_FILE.with_suffix(".new"), JOBS_FILE)

    def send(self, message: dict, halves: bool = False) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        middle = len(line) // 2 if halves else 0
        with self.sending:
            for piece in (line[:middle], line[middle:]):
                if piece:
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()
                    time.sleep(0.06 if halves else 0)

    def change(self, job: dict, **values: object) -> None:
        job.update(values)
        self.keep()
        if "garbage" in job["request"]["prompt"]:
            sys.stdout.buffer.write(b'\xff\xfe not json\n{"jsonrpc": "2.0", "method": "job", "params": 7}\n[]\n')
        halves = "half" in job["request"]["prompt"]
        if "step" in values and "state" not in values:
            told = ("job_id", "state", "step", "steps", "progress", "sentence", "training")
            self.send({"method": "progress", "params": {name: job[name] for name in told if name in job}}, halves)
        else:
            self.send({"method": "job", "params": status(job)}, halves)

    def work(self) -> None:
        """One step of the first job that is not ended."""
        free = (job for job in self.jobs.values() if job["state"] not in ENDED and job.get("hold", "none") == "none")
        job = next(free, None)
        if job is None or self.paused:
            return
        prompt = job["request"]["prompt"]
        if job["state"] == "queued":
            self.change(job, state="denoising", step=0, steps=4)
        elif "die" in prompt and not job.get("retried"):
            os._exit(9)
        elif (problem := problem_of(job)) is not None:
            self.change(job, state="failed", problem=problem)
        elif "hang" in prompt:
            time.sleep(0.05)
        elif request_training(job) and job["step"] == job["steps"]:
            self.change(job, state="done", progress=1.0, training=trained(job))
        elif job["step"] < job["steps"]:
            time.sleep(0.3 if "slow" in prompt else 0.01)
            if request_training(job):
                job["training"] = trained(job)
            self.change(job, step=job["step"] + 1, progress=job["step"] / 5, sentence="Denoising")
        else:
            self.change(job, state="done", progress=1.0, take=write_take(job["job_id"], job["request"]))

    def answer(self, call: dict) -> None:
        method, params, request_id = call["method"], call["params"], call["id"]
        result = getattr(self, f"do_{method}")(params)
        once = STATE / "died_once"
        if MANNER == "forgetful" and method in ("submit", "cancel", "retry", "settle", "clear") and not once.exists():
            once.touch()
            os._exit(9)
        self.send({"id": request_id, **result})

    def do_hello(self, params: dict) -> dict:
        if MANNER == "old":
            return {"error": {"code": -32002, "message": "This backend speaks version 0."}}
        names = {"version": "0.0.1", "tasks": ["text_to_video"], "pid": os.getpid()}
        return {"result": {"protocol": params["protocol"], **names, "state_folder": str(STATE), "log": ""}}

    def do_download_plan(self, params: dict) -> dict:
        far = params["model"]
        numbers = {"total_bytes": 1000, "fetch_bytes": 900, "disk_bytes": 900, "free_bytes": 5000}
        words = {"label": "Far", "folder": "/models", "licence": "none", "licence_url": "https://licence"}
        if far == "nonsense":
            return {"error": {"code": -32001, "message": "There is no such model.", "data": {}}}
        return {"result": {"model": far, **words, **numbers}}

    def change_download(self, model: str, **values: object) -> dict:
        known = self.downloads.setdefault(model, {"model": model, "done_bytes": 0, "total_bytes": 1000})
        known.update(values)
        STATE.mkdir(parents=True, exist_ok=True)
        DOWNLOADS_FILE.write_text(json.dumps(self.downloads))
        self.send({"method": "download", "params": known})
        return {"result": known}

    def do_download(self, params: dict) -> dict:
        return self.change_download(params["model"], state="running")

    def do_pause_download(self, params: dict) -> dict:
        return self.change_download(params["model"], state="paused")

    def do_cancel_download(self, params: dict) -> dict:
        canceled = self.change_download(params["model"], state="cancelled")
        del self.downloads[params["model"]]
        return canceled

    def do_downloads(self, params: dict) -> dict:
        return {"result": {"downloads": list(self.downloads.values())}}

    def fetch(self) -> None:
        """One step of what is being fetched."""
        for model, known in list(self.downloads.items()):
            if known["state"] == "running" and known["done_bytes"] < 1000:
                time.sleep(0.05)
                self.change_download(model, done_bytes=known["done_bytes"] + 50, bytes_per_second=50.0)
            elif known["state"] == "running":
                self.change_download(model, state="done")

    def do_models(self, params: dict) -> dict:
        row = {
            "model": "embedded",
            "label": "Fake",
            "tasks": ["text_to_video"],
            "here": True,
            "sentence": "Here.",
            "frame_rate": {"fps": 16},
            "max_frames": 65,
            "sizes": [{"name": "144p", "width": 256, "height": 144}],
            "licence": "none",
            "download_bytes": 0,
        }
        here = self.downloads.get("far", {}).get("state") == "done"
        far = {**row, "model": "far", "label": "Far", "here": here, "download_bytes": 1000}
        return {"result": {"models": [row, far]}}

    def do_plan(self, params: dict) -> dict:
        plan = {
            "model": "embedded",
            "width": WIDTH,
            "height": HEIGHT,
            "model_frames": 5,
            "model_frame_rate": {"fps": 16},
            "take_frames": params["request"]["length_frames"],
            "steps": 4,
            "guidance_scale": 1.0,
            "flow_shift": 3.0,
            "sampler": "euler",
        }
        return {"result": plan}

    def do_warm(self, params: dict) -> dict:
        return {"result": {}}

    def do_submit(self, params: dict) -> dict:
        job_id, request = params["job_id"], params["request"]
        if "refuse" in request["prompt"]:
            problem = {"kind": "model_missing", "sentence": "The model is not here: download it."}
            return {"error": {"code": -32001, "message": problem["sentence"], "data": problem}}
        if job_id not in self.jobs:
            self.jobs[job_id] = {"job_id": job_id, "state": "queued", "request": request, "created": time.time()}
            self.keep()
        return {"result": status(self.jobs[job_id])}

    def do_cancel(self, params: dict) -> dict:
        job = self.jobs[params["job_id"]]
        if job["state"] not in ENDED:
            self.change(job, state="cancelled")
        return {"result": status(job)}

    def do_hold(self, params: dict) -> dict:
        job = self.jobs[params["job_id"]]
        if job["state"] not in ENDED:
            self.change(job, state="queued", hold=params["hold"], sentence="It is held.")
        return {"result": status(job)}

    def do_resume(self, params: dict) -> dict:
        job = self.jobs[params["job_id"]]
        self.change(job, hold="none", sentence="Waiting.")
        return {"result": status(job)}

    def do_move(self, params: dict) -> dict:
        before = self.jobs[params["before"]]
        self.change(self.jobs[params["job_id"]], turn=before.get("turn", 0) - 1)
        return {"result": status(self.jobs[params["job_id"]])}

    def do_pause(self, params: dict) -> dict:
        self.paused = params["paused"]
        return {"result": params}

    def do_shutdown(self, params: dict) -> dict:
        for job in self.jobs.values():
            if job["state"] not in ENDED:
                job["state"] = "queued"
        self.keep()
        return {"result": {}}

    def do_retry(self, params: dict) -> dict:
        if params["job_id"] not in self.jobs:
            return {"error": {"code": -32003, "message": "No such job."}}
        job = self.jobs[params["job_id"]]
        self.change(job, state="queued", problem=None, retried=True, settled=False)
        return {"result": status(job)}

    def do_list(self, params: dict) -> dict:
        jobs = sorted(self.jobs.values(), key=lambda job: (job["state"] in ENDED, -job["created"]))
        first = int(params["after"] or 0)
        rest = str(first + PAGE) if first + PAGE < len(jobs) else ""
        return {"result": {"jobs": [status(job) for job in jobs[first : first + PAGE]], "next": rest}}

    def do_details(self, params: dict) -> dict:
        if params["job_id"] not in self.jobs:
            return {"error": {"code": -32003, "message": "No such job."}}
        return {"result": {"job_id": params["job_id"], "request": self.jobs[params["job_id"]]["request"]}}

    def do_settle(self, params: dict) -> dict:
        known = [job_id for job_id in params["job_ids"] if job_id in self.jobs]
        for job_id in known:
            self.jobs[job_id]["settled"] = True
        self.keep()
        return {"result": {"job_ids": known}}

    def do_clear(self, params: dict) -> dict:
        known = [job_id for job_id in params["job_ids"] if self.jobs.pop(job_id, None) is not None]
        self.keep()
        return {"result": {"job_ids": known}}

    def do_release(self, params: dict) -> dict:
        return {"result": {"workers": [{"state": "none"}]}}

    def do_cards(self, params: dict) -> dict:
        return {"result": {"cards": []}}

    def run(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            try:
                self.answer(self.lines.get(timeout=0.01))
            except queue.Empty:
                self.work()
                self.fetch()

    def pong(self, request_id: int) -> None:
        """A ping is answered by the thread that reads, whatever the other one does."""
        self.send({"id": request_id, "result": {"busy_seconds": 0.0, "busy_with": ""}})

    def read(self) -> None:
        for line in sys.stdin.buffer:
            call = json.loads(line)
            if call["method"] == "ping":
                if MANNER != "deaf":
                    self.pong(call["id"])
                continue
            self.lines.put(call)
        if MANNER != "leaden":
            os._exit(0)


if __name__ == "__main__":
    if MANNER == "die":
        sys.exit("The fake backend was told to die.")
    if MANNER == "mute":
        sys.stdin.buffer.read()
        sys.exit(0)
    FakeBackend().run()
