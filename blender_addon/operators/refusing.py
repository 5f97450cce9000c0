"""What operators share: a poll that says why not, and the sentences that more than one of them says.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import JobStatus
from ..jobs import tracker
from ..properties import active_job_id
from ..stopwatch import timed
from ..timeline import compat

NO_TIMELINE = "The sequencer shows no scene: choose one in its header"
ROW_POINTER = "wan_vse_row"
"""The context member that the queue sets to the row in which a button is drawn."""
NO_JOB = "No job is chosen in the queue"
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
        sentences = [cls.job_refusal(job) for job in tracker.get().jobs()]
        if not sentences:
            return "The queue is empty"
        return "" if "" in sentences else sentences[0]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Find the job, refuse in a sentence, or do it."""
        row = getattr(context, ROW_POINTER, None)
        job = job_of(self.job_id or (row.name if row is not None else "") or active_job_id(context))
        if job is None and not self.job_id:
            job = next((each for each in tracker.get().jobs() if not self.job_refusal(each)), None)
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
    return next((job for job in tracker.get().jobs() if job.job_id == job_id), None)


def timeline_refusal(context: bpy.types.Context) -> str:
    """Why nothing can be put on a timeline."""
    return NO_TIMELINE if compat.sequencer_scene(context) is None else ""


def backend_refusal() -> str:
    """Why the backend can't be asked for a take."""
    return _BACKEND_SENTENCES.get(tracker.get().backend.state, "")
