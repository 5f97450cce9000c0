"""The queue's list: which jobs have a row, the search, and what is shown of a job before its details have come."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest
from test_drawing import Recorder, draw_all, visible_text

JOB = "a" * 32


@pytest.fixture
def queue(stand_in, addon):
    """queue() brings the rows up to date; returns the session, with `ids()` of its rows."""
    panel_state = bpy.context.window_manager.wan_vse

    def shown() -> list[str]:
        addon("ui.refresh").refresh()
        return [row.name for row in panel_state.rows]

    yield shown
    panel_state.search = ""


def fill(stand_in, ended: int, waiting: int) -> None:
    """So many jobs, the newest first, those that wait among the others."""
    job = stand_in.add(JOB)
    stand_in.all.clear()
    m = stand_in.messages
    for index in range(ended + waiting):
        state = m.JobState.QUEUED if index < 2 * waiting and index % 2 else m.JobState.DONE
        summary = m.JobSummary(f"prompt {index:05d}", m.Task.TEXT_TO_VIDEO, "big", 7, 81)
        stand_in.all.append(m.JobStatus(f"{index:032x}", state, summary, take=job.take))


def number(job_id: str) -> int:
    return int(job_id, 16)


def test_all_that_go_on_and_the_newest_others_have_a_row(stand_in, queue, addon) -> None:
    fill(stand_in, 1000, 300)
    ids = [number(job_id) for job_id in queue()]
    assert ids[:300] == list(range(1, 600, 2)), "what goes on stands first"
    assert ids[300:] == sorted(ids[300:]), "in the order of the session"
    assert [index for index in ids if index % 2 and index < 600] == list(range(1, 600, 2))
    assert len(ids) == 300 + addon("ui.refresh").MAX_ENDED
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    assert "and 800 older ones" in layout.words


def test_the_search_finds_older_jobs(stand_in, queue, addon) -> None:
    fill(stand_in, 1000, 0)
    panel_state = bpy.context.window_manager.wan_vse
    assert number(queue()[-1]) == 199
    panel_state.search = " PROMPT  00950 "
    assert [number(job_id) for job_id in queue()] == [950]
    panel_state.search = "prompt 00"
    assert len(queue()) == 200 and panel_state.left_out == 800
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    assert "and 800 more that match" in layout.words
    panel_state.search = "nowhere"
    assert queue() == []
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    assert "Searching the prompts..." in layout.words
    stand_in.server.searched["nowhere"] = frozenset()
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    assert "No jobs found." in layout.words
    panel_state.search = ""
    assert len(queue()) == 200


def test_the_end_of_a_long_prompt_is_found_too(stand_in, queue, addon) -> None:
    """The server has it whole; what the server hasn't got yet is searched here."""
    fill(stand_in, 10, 0)
    panel_state = bpy.context.window_manager.wan_vse
    wanted = []
    stand_in.server.search_query.want = lambda text, jobs: wanted.append((text, jobs))
    panel_state.search = " Far  END"
    assert queue() == [] and wanted[-1] == ("far end", 10)
    stand_in.server.searched["far end"] = frozenset({f"{3:032x}"})
    assert [number(job_id) for job_id in queue()] == [3], "the answer came, and nothing else changed"
    job = stand_in.all[5]
    stand_in.jobs.request_of = lambda job_id: (
        SimpleNamespace(prompt="x " * 300 + "far\nend", words=[]) if job_id == job.job_id else None
    )
    stand_in.all[:] = stand_in.all[1:]
    assert [number(job_id) for job_id in queue()] == [3, 5]


def test_a_search_is_answered_as_it_is_typed(stand_in, addon) -> None:
    fill(stand_in, 10, 0)
    panel_state = bpy.context.window_manager.wan_vse
    stand_in.on_change.append(addon("ui.refresh").refresh)
    panel_state.search = "00003"
    assert [number(row.name) for row in panel_state.rows] == [3]
    panel_state.search = ""
    assert len(panel_state.rows) == 10


def test_the_lists_own_search_field_is_this_one(stand_in, addon) -> None:
    layout = Recorder()
    kind = addon("ui.queue_list").WAN_VSE_UL_queue
    kind.draw_filter(SimpleNamespace(), bpy.context, layout)
    assert kind.filter_items(SimpleNamespace(filter_name="x"), bpy.context, None, "rows") == ([], [])


def test_nothing_is_done_while_the_queue_is_the_same(stand_in, queue, addon, monkeypatch) -> None:
    fill(stand_in, 300, 20)
    before = queue()
    written = []
    monkeypatch.setattr(addon("ui.refresh"), "write_rows", lambda *values: written.append(values))
    monkeypatch.setattr(addon("ui.refresh"), "_shown", lambda *values: written.append(values))
    order = stand_in.order()
    monkeypatch.setattr(stand_in, "order", lambda: order)
    monkeypatch.setattr(stand_in, "queue", lambda: written.append("all jobs were looked at"))
    assert queue() == before
    assert bpy.ops.wan_vse.cancel_all.poll() and bpy.ops.wan_vse.clear_jobs.poll()
    assert written == []


def test_rows_that_came_with_a_file_give_way(stand_in, queue) -> None:
    fill(stand_in, 3, 0)
    before = queue()
    rows = bpy.context.window_manager.wan_vse.rows
    for row in rows:
        row.name = f"another file's {row.name}"
    assert queue() == before
    rows.clear()
    assert queue() == before


def test_a_poll_without_a_row_asks_a_few_jobs_of_each_state(stand_in, addon, monkeypatch) -> None:
    fill(stand_in, 1000, 300)
    asked = []
    monkeypatch.setattr(stand_in, "can_place", lambda job_id: asked.append(job_id) or False)
    assert not bpy.ops.wan_vse.place_take.poll()
    assert len(asked) == addon("operators.queue_jobs").SAMPLE
    assert bpy.ops.wan_vse.cancel_job.poll()


def test_before_its_details_came_a_job_is_shown_by_its_summary(stand_in, settings, addon) -> None:
    job = stand_in.add(JOB, "done")
    stand_in.requests.clear()
    drawn = draw_all(addon)
    assert job.summary.title in visible_text(drawn) and "Text: Big, seed 7" in visible_text(drawn)
    assert set(stand_in.server.wished) == {JOB}
    m = stand_in.messages
    stand_in.server.plans[JOB] = m.Plan("big", 832, 464, 81, m.FrameRate(16), 121, 30, 5.0, 3.0, m.Sampler.UNIPC)
    assert "832 x 464, 81 frames at 16 fps" in visible_text(draw_all(addon))


def test_how_many_loras_is_known_before_which(stand_in, settings, addon) -> None:
    m = stand_in.messages
    stand_in.all.append(
        m.JobStatus(JOB, m.JobState.DONE, m.JobSummary("fog", m.Task.RESTYLE, "big", 7, 81, loras=2), created=1.0)
    )
    assert "LoRAs: 2" in visible_text(draw_all(addon))


def test_what_another_window_has_is_said(stand_in, queue, addon) -> None:
    def drawn() -> str:
        return visible_text(draw_all(addon))

    assert "nother Blender window" not in drawn()
    stand_in.server.held_elsewhere = 1
    assert "1 more job in its queue. The job moves here when that window is closed." in drawn()
    stand_in.server.held_elsewhere = 1200
    assert "1,200 more jobs in its queue. The jobs move here" in drawn()
    stand_in.server.held_elsewhere = 0
    job = stand_in.add(JOB, "cancelled", held_elsewhere=True)
    words = drawn()
    assert "Other window" in words and "When that window is closed, the job moves here." in words
    queue_jobs = addon("operators.queue_jobs")
    assert queue_jobs.WAN_VSE_OT_retry_job.job_refusal(job) == queue_jobs.HELD_ELSEWHERE
    clear = addon("operators.queue_jobs").WAN_VSE_OT_clear_jobs.refusal
    assert "Another Blender window" in clear(bpy.context)
    stand_in.add("b" * 32, "cancelled")
    assert not clear(bpy.context)


def test_a_paused_queue_says_so_though_it_is_empty(stand_in, queue, addon) -> None:
    stand_in.server.paused = True
    assert queue() == []
    layout = Recorder()
    addon("ui.queue_list").draw_queue(layout, bpy.context)
    assert "The queue is paused" in layout.words and "Resume" in layout.words


def test_a_list_that_rests_is_not_gone_through(stand_in, queue, addon, monkeypatch) -> None:
    """Refreshes come with each step of a job. While the same jobs are there, no row is looked at or written."""
    refresh, calls = addon("ui.refresh"), []
    for name in ("_shown", "write_rows"):
        function = getattr(refresh, name)
        monkeypatch.setattr(
            refresh, name, lambda *values, name=name, function=function: calls.append(name) or function(*values)
        )
    fill(stand_in, 500, 20)
    queue()
    assert calls == ["_shown", "write_rows"]
    queue()
    queue()
    assert calls == ["_shown", "write_rows"]
    fill(stand_in, 500, 21)
    queue()
    assert calls == ["_shown", "write_rows"] * 2


def test_each_job_that_runs_shows_how_far_it_is(stand_in, queue, addon) -> None:
    m = stand_in.messages
    stand_in.all.clear()
    for index, progress in enumerate((0.25, 0.5)):
        summary = m.JobSummary(f"prompt {index}", m.Task.TEXT_TO_VIDEO, "big", 7, 81)
        stand_in.all.append(m.JobStatus(f"{index:032x}", m.JobState.DENOISING, summary, progress=progress))
    assert len(queue()) == 2
    words = visible_text(draw_all(addon))
    assert "25%" in words and "50%" in words


def test_cards_are_chosen_in_the_preferences(stand_in, addon) -> None:
    preferences = addon("preferences").get()
    row = stand_in.messages.CardRow
    stand_in.server.cards = [row(f"GPU-{n}000", f"NVIDIA L{n}", 24_000_000_000, True) for n in (1, 2)]
    try:
        assert "NVIDIA L2, 24.0 GB" in visible_text(draw_all(addon))
        assert bpy.ops.wan_vse.use_card(card="GPU-1000") == {"FINISHED"}
        assert preferences.cards == "GPU-2000"
        assert bpy.ops.wan_vse.use_card(card="GPU-2000") == {"CANCELLED"}, "the last one stays"
        assert bpy.ops.wan_vse.use_card(card="GPU-9000") == {"CANCELLED"}
        assert bpy.ops.wan_vse.use_card(card="GPU-1000") == {"FINISHED"} and preferences.cards == ""
        preferences.cards_per_take = 4
        assert addon("jobs.folders").backend_settings().cards_per_take == 4
    finally:
        preferences.cards, preferences.cards_per_take = "", 1
        stand_in.server.cards = []
