"""The base of operators that tell why they can't be used, and the sentences that several of them share."""

from __future__ import annotations

from typing import Literal

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import JobStatus, TakeRequest
from ..jobs import session
from ..timeline import compat
from ..translation import translated

Result = set[Literal["RUNNING_MODAL", "CANCELLED", "FINISHED", "PASS_THROUGH", "INTERFACE"]]
"""What an operator returns to Blender."""
NO_TIMELINE = "The sequencer shows no scene: choose one in its header"
LINKED = "This scene is linked from another file, which can't be changed here: make it local, or choose another"
ROW_POINTER = "wan_vse_row"
"""The context member that the queue sets to the row in which a button is drawn."""
ASKING_FOR_DETAILS = "Asking the backend for this take's settings; press again in a moment."
_BACKEND_SENTENCES = {
    "off": "The backend is not running: open the Wan tab in the sequencer's sidebar",
    "starting": "The backend is starting: wait a moment",
    "missing": "The backend is not set up yet: press Set Up Backend",
    "failed": "The backend has stopped: press Restart, or read its log",
}


class Refusing:
    """An operator that tells why it can't be used, in the tooltip of its button."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why the operator can't be used; empty if it can."""
        return ""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """False if the operator can't be used; the sentence is then what Blender shows in the tooltip."""
        sentence = cls.refusal(context)
        if sentence:
            cls.poll_message_set(translated(sentence))  # type: ignore[attr-defined]
        return not sentence


class OnTimeline(Refusing):
    """An operator that needs a timeline that may be changed, and may ask for more of it."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context) or cls.refusal_there(context)

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        """Why it can't be used on the timeline that is there; empty if it can."""
        return ""


def job_of(job_id: str) -> JobStatus | None:
    """The job with that id; None if the queue has none."""
    return session.current().jobs.get(job_id)


def request_of_job(operator: bpy.types.Operator, job: JobStatus) -> TakeRequest | None:
    """The job's request. None if it isn't known yet: the backend is then asked for it, which is reported."""
    request = session.current().request_of(job.job_id)
    if request is None:
        session.current().server.want_details(job.job_id)
        refusal = backend_refusal()
        operator.report(
            {"WARNING"} if refusal else {"INFO"}, f"{translated(refusal, rpt_)}." if refusal else ASKING_FOR_DETAILS
        )
    return request


def timeline_refusal(context: bpy.types.Context) -> str:
    """Why nothing can be put on a timeline; empty if it can."""
    scene = compat.sequencer_scene(context)
    if scene is None:
        return NO_TIMELINE
    return LINKED if scene.library is not None else ""


def backend_refusal() -> str:
    """Why the backend can't be asked for a take; empty if it can."""
    status = session.current().server.status
    if status.state == "missing" and status.sentence and status.remedy.value != "first_set_up":
        return status.sentence.removesuffix(".")  # it names what is not there
    return _BACKEND_SENTENCES.get(status.state, "")
