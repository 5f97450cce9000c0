"""The methods and events of each hop, with the messages that they take and give.

Both sides dispatch by these tables, and docs/protocol.md is written from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import cut as c
from . import downloads as d
from . import looks as k
from . import messages as m
from . import transfer as t


@dataclass(frozen=True)
class Method:
    """A method of one hop; `result` is None for a notification."""

    name: str
    params: type
    result: type | None
    purpose: str


def _table(*methods: Method) -> dict[str, Method]:
    return {method.name: method for method in methods}


SERVER_METHODS = _table(
    Method("hello", m.HelloParams, m.HelloResult, "Greet; refused where the protocol versions differ."),
    Method(
        "ping",
        m.Nothing,
        m.PingResult,
        "Answered at once, whatever else goes on, by a live server.",
    ),
    Method("models", m.Nothing, m.ModelsResult, "The catalogue and what of it is known to be here; never waits."),
    Method(
        "name_transformer",
        m.NameTransformerParams,
        m.Nothing,
        "Remember which part of a model a file is, where only a person can say; answered once plans know of it.",
    ),
    Method(
        "plan",
        m.PlanParams,
        m.Plan,
        "Plan a request: size, frames and memory, or why it can't be done.",
    ),
    Method(
        "warm",
        m.WarmParams,
        m.Nothing,
        "Have a worker load the model of a request, if one has nothing else to do; answered at once, never a job.",
    ),
    Method(
        "look",
        k.LookParams,
        k.LookResult,
        "Make a small draft of a request while there is no job; refused with `busy` or `cancelled` where it makes way.",
    ),
    Method("thumbnails", m.ThumbnailsParams, m.ThumbnailsResult, "Small pictures of sources, in their framing."),
    Method("filmstrips", m.FilmstripsParams, m.FilmstripsResult, "Takes in a few small pictures, first frame to last."),
    Method("export_timeline", c.ExportTimelineParams, c.ExportTimelineResult, "Write a cut as OpenTimelineIO."),
    Method("import_timeline", c.ImportTimelineParams, c.ImportTimelineResult, "Read a cut from OpenTimelineIO."),
    Method("submit", m.SubmitParams, m.JobStatus, "Put a job at the end of the queue; on disk when answered."),
    Method("cancel", m.JobParams, m.JobStatus, "End a job in any state within 2 s."),
    Method("retry", m.JobParams, m.JobStatus, "Queue a job that ended once more, as it was asked for."),
    Method(
        "hold",
        m.HoldParams,
        m.JobStatus,
        "Let a job wait until `resume`, also after a restart; one that runs stops, and resumes from its last step.",
    ),
    Method("resume", m.JobParams, m.JobStatus, "Give a held job its turn again."),
    Method("move", m.MoveParams, m.JobStatus, "Give a queued job its turn right before another one."),
    Method(
        "pause",
        m.PauseParams,
        m.PauseResult,
        "Begin no job until this is taken back or the server ends; those that run stop, and stay the first.",
    ),
    Method("list", m.ListParams, m.ListResult, "A page of the jobs."),
    Method("search", m.SearchParams, m.SearchResult, "The jobs with a text in their prompt, beyond what the list has."),
    Method("details", m.JobParams, m.JobDetails, "A job's request and plan."),
    Method("settle", m.JobIdsParams, m.JobIdsParams, "The saved project knows how these ended; gives those settled."),
    Method("clear", m.JobIdsParams, m.JobIdsParams, "Forget jobs that ended; gives those forgotten. Media stays."),
    Method("release", m.Nothing, m.WorkersResult, "Free the cards: end the workers that have no job."),
    Method("cards", m.Nothing, m.CardsResult, "The graphics cards of this machine, as far as they can be listed."),
    Method("doctor", m.Nothing, m.DoctorResult, "What is here, what is missing, how to fix it."),
    Method(
        "download_plan",
        d.ModelParams,
        d.DownloadPlan,
        "The files and bytes of a model to fetch; asks the hub.",
    ),
    Method("download", d.ModelParams, d.DownloadStatus, "Fetch a model, or resume that; one after another."),
    Method("pause_download", d.ModelParams, d.DownloadStatus, "Stop for now; what was fetched stays."),
    Method("cancel_download", d.ModelParams, d.DownloadStatus, "Stop, and remove what was fetched for it."),
    Method("downloads", m.Nothing, d.DownloadsResult, "Every download, also those of servers that died."),
    Method("lacks", t.LacksParams, t.LacksResult, "Which contents of files a server on another machine has already."),
    Method("put", t.PutParams, t.PutResult, "The next piece of a content."),
    Method("gather", t.GatherParams, t.FolderResult, "A folder of contents that are there, under their names."),
    Method(
        "place", t.PlaceParams, t.FolderResult, "A folder for takes, of a client that sees none of the server's disks."
    ),
    Method("take_files", t.TakeFilesParams, t.TakeFilesResult, "Files of a take or a training so far, with hashes."),
    Method("take_read", t.TakeReadParams, t.TakeReadResult, "A piece of one of these files, or of a job's preview."),
    Method("take_arrived", m.JobParams, m.Nothing, "It is whole at the client: its folder here may go."),
    Method("shared", t.SharedParams, t.SharedResult, "Whether a folder there is the one that the client sees."),
    Method("line_test", t.LineTestParams, t.Piece, "Bytes each way, to measure a line."),
    Method("shutdown", m.Nothing, m.Nothing, "Leave, as at the end of stdin."),
)
"""Client to server, on the server's stdin; the answers come on its stdout."""

SERVER_EVENTS = _table(
    Method("job", m.JobStatus, None, "A job's state changed."),
    Method("progress", m.ProgressParams, None, "Progress of a job."),
    Method("models", m.ModelsResult, None, "The models known to be here changed, or the progress of the first search."),
    Method("worker", m.WorkerStatus, None, "The state of a worker changed."),
    Method("download", d.DownloadStatus, None, "A download changed."),
    Method("elsewhere", m.ElsewhereParams, None, "How many jobs other live servers have changed."),
    Method("link", t.LinkStatus, None, "The line to another machine changed; from the relay, never from a server."),
)
"""Server to client, on the server's stdout."""

WORKER_METHODS = _table(
    Method("run", m.RunParams, m.RunResult, "Do a job; one at a time."),
    Method("warm", m.WarmUpParams, m.Nothing, "Load what a job will need; answered when done, or when a run ended it."),
    Method("look", k.MakeLookParams, k.MakeLookResult, "Make a small draft while there is no job; a run ends it."),
    Method("make_way", m.Nothing, m.Nothing, "End the look or the warm-up before its next step."),
    Method("cancel", m.JobParams, m.Nothing, "Stop the job as soon as its arithmetic allows."),
    Method("shutdown", m.Nothing, m.Nothing, "Leave, as at the end of stdin."),
)
"""Server to worker, on the worker's stdin."""

WORKER_EVENTS = _table(
    Method("ready", m.ReadyParams, None, "The worker can take a job."),
    Method("progress", m.ProgressParams, None, "Progress of a job."),
    Method("alive", m.AliveParams, None, "A heartbeat, every two seconds."),
    Method("reading", m.ReadingParams, None, "The file that is read into memory next, sent before it is."),
)
"""Worker to server, on the worker's stdout."""

FETCH_EVENTS = _table(
    Method("fetch_plan", d.DownloadPlan, None, "The plan of the fetch."),
    Method("fetch", d.DownloadStatus, None, "Progress of the fetch; its last line has `state` done or failed."),
)
"""The process that fetches a model (`python -m wan_backend.downloads`) to the server, on stdout."""

SETUP_EVENTS = _table(
    Method("setup_plan", m.SetupPlan, None, "The plan of the set-up."),
    Method("setup", m.SetupProgress, None, "Progress of the set-up."),
)
"""The set-up of the backend's environment (`python -m wan_backend.environment`) to the add-on, on stdout."""

TEST_EVENTS = _table(Method("tested", t.BackendTest, None, "What a test of a backend has found so far."))
"""The test of a backend (`python -m wan_backend.relay --test`) to the add-on, on stdout."""
