"""What operators share: a poll that says why not, and the sentences that more than one of them says.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import JobStatus, TakeRequest
from ..jobs import tracker
from ..properties import active_job_id
from ..stopwatch import timed
from ..timeline import compat
from .standing import standing

NO_TIMELINE = "The sequencer shows no scene: choose one in its header"
LINKED = "This scene is linked from another file, which can't be changed here: make it local, or choose another"
HELD_ELSEWHERE = "Another window of Blender has this job: try it again there, or close that window, and it comes here"
ROW_POINTER = "wan_vse_row"
"""The context member that the queue sets to the row in which a button is drawn."""
NO_JOB = "No job is chosen in the queue"
EMPTY_QUEUE = "The queue is empty"
ASKING_FOR_DETAILS = "Asking the backend for this take's settings; press again in a moment."
_BACKEND_SENTENCES = {
    "off": "The backend has not been started: open the Wan tab of the sequencer's sidebar",
    "starting": "The backend is starting: wait a moment",
    "missing": "The backend is not set up yet: press Set Up Backend",
    "failed": "The backend has stopped: press Restart, or read its log",
}


class Refusing:
    """An operator that tells why it can't be used: `refusal` gives the sentence, or nothing where it can."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why not; empty where it can be used."""
        return ""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Blender asks this to grey the operator out."""
        sentence = cls.refusal(context)
        if sentence:
            cls.poll_message_set(sentence)  # type: ignore[attr-defined]
        return not sentence


class OnJob(Refusing):
    """An operator on one job: that of `job_id`, else that of the row it is drawn in, else the chosen one."""

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        """Why this can't be done with `job`; empty where it can."""
        return ""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """By the row that the button is drawn in. Without one (a script, F3): whether any job would do.

        Blender asks before `job_id` is set, so a poll can't know it; `execute` asks again.
        """
        row = getattr(context, ROW_POINTER, None)
        if row is not None:
            job = job_of(row.name)
            return cls.job_refusal(job) if job else NO_JOB
        first = EMPTY_QUEUE
        for job in standing().sample:
            sentence = cls.job_refusal(job)
            if not sentence:
                return ""
            first = sentence if first is EMPTY_QUEUE else first
        return first

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Find the job, refuse in a sentence, or do it."""
        row = getattr(context, ROW_POINTER, None)
        job = job_of(self.job_id or (row.name if row is not None else "") or active_job_id(context))
        if job is None and not self.job_id:
            job = next((each for each in standing().sample if not self.job_refusal(each)), None)
        sentence = self.job_refusal(job) if job else NO_JOB
        if job is None or sentence:
            self.report({"WARNING"}, f"{sentence}.")  # type: ignore[attr-defined]
            return {"CANCELLED"}
        with timed(f"operator {type(self).__name__}"):
            return self.run(context, job)

    def run(self, context: bpy.types.Context, job: JobStatus) -> set[str]:
        """Do it."""
        raise NotImplementedError


def job_of(job_id: str) -> JobStatus | None:
    """The job with that id; None where the queue has none."""
    return tracker.get().job(job_id)


def request_of_job(operator: bpy.types.Operator, job: JobStatus) -> TakeRequest | None:
    """What the job was asked for. Where the backend has yet to tell, it is asked, and None is given, and said."""
    request = tracker.get().request_of(job.job_id)
    if request is None:
        tracker.get().want_details(job.job_id)
        refused = backend_refusal()
        operator.report({"WARNING"} if refused else {"INFO"}, f"{refused}." if refused else ASKING_FOR_DETAILS)
    return request


def timeline_refusal(context: bpy.types.Context) -> str:
    """Why nothing can be put on a timeline."""
    scene = compat.sequencer_scene(context)
    if scene is None:
        return NO_TIMELINE
    return LINKED if scene.library is not None else ""


def backend_refusal() -> str:
    """Why the backend can't be asked for a take."""
    return _BACKEND_SENTENCES.get(tracker.get().backend.state, "")
