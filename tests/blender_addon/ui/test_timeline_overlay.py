"""What the overlay writes and how it decides; its drawing needs a window (tests/pictures looks at that)."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

JOB = "a" * 32


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "Waiting"),
        ("denoising", "Step 3 of 8, 9 s left"),
        ("done", "press Place"),
        ("cancelled", "Canceled"),
    ],
)
def test_captions(stand_in, addon, state: str, words: str) -> None:
    job = stand_in.add(JOB, state, step=3, steps=8, eta_seconds=9.0)
    assert words in addon("ui.timeline_overlay").captions(job)[0]


def test_a_failure_is_said_on_the_strip(stand_in, addon) -> None:
    job = stand_in.add(
        JOB,
        "failed",
        problem=stand_in.messages.Problem(stand_in.messages.ProblemKind.INTERNAL, "The disk is full: make room."),
    )
    assert addon("ui.timeline_overlay").captions(job) == ("Failed: The disk is full: make room.", "Failed", "!")


def test_what_is_out_of_view_is_not_drawn(addon) -> None:
    box = addon("ui.timeline_overlay").Box
    assert box(10, 10, 20, 20).within(100, 100)
    assert not box(-20, 10, -5, 20).within(100, 100)
    assert not box(10, 120, 20, 140).within(100, 100)


def test_the_outline_is_as_long_as_the_take_will_be(stand_in, addon) -> None:
    m, coming = stand_in.messages, addon("ui.wording").coming_frames
    plan = m.Plan("embedded", 1, 1, 65, m.FrameRate(16), 97, 8, 1.0, 1.0, m.Sampler.UNIPC)
    assert coming(216, None) == 216
    assert coming(216, plan) == 97
    assert coming(48, plan) == 48


@pytest.mark.parametrize(("width", "category", "seen"), [(300, "Wan", True), (300, "Tool", False), (1, "Wan", False)])
def test_the_range_is_shown_with_the_tab_only(addon, width: int, category: str, seen: bool) -> None:
    region = SimpleNamespace(type="UI", width=width, active_panel_category=category)
    area = SimpleNamespace(regions=[SimpleNamespace(type="WINDOW"), region])
    assert addon("ui.timeline_overlay").tab_in_view(area) is seen


def test_without_a_window_nothing_is_hung_in(addon, scene) -> None:
    assert addon("ui.timeline_overlay")._handler is None


@pytest.mark.parametrize(
    ("state", "drawn"),
    [
        ("denoising", {"TRACK": 40, "BAR": 10}),
        ("failed", {"FAILED": 40}),
        ("interrupted", {"FAILED": 40}),
        ("done", {}),
    ],
)
def test_the_marks_of_a_placeholder(stand_in, addon, state: str, drawn: dict) -> None:
    overlay = addon("ui.timeline_overlay")
    job = stand_in.add(JOB, state, progress=0.25)
    box = overlay.Box(10, 10, 50, 30)
    names = {getattr(overlay, name): name for name in ("TRACK", "BAR", "FAILED")}
    assert {names[color]: bar.right - bar.left for color, bar in overlay.bars(job, box)} == drawn


class View:
    """A region that shows 200 frames and 8 channels."""

    width, height = 1000, 400

    @property
    def view2d(self):
        return SimpleNamespace(region_to_view=lambda x, y: (100 + x / 5, 1 + y / 50))


def test_only_placeholders_in_view_are_looked_up(stand_in, addon, scene) -> None:
    overlay, compat, identity = addon("ui.timeline_overlay"), addon("timeline.compat"), addon("timeline.identity")
    strips = compat.strips(scene.sequence_editor)
    compat.new_color(strips, "no placeholder", 1, 100, 10)
    for index in range(40):
        job = stand_in.add(f"{index:032x}", "queued")
        strip = compat.new_color(strips, "P", 2, 1 + index * 50, 40)
        identity.mark_placeholder(strip, job.job_id, "{}")
    asked = []
    stand_in.jobs.get = lambda job_id, get=stand_in.jobs.get: asked.append(job_id) or get(job_id)
    shown = list(overlay._placeholders_in_view(View(), addon("ui.shown_marks").marks(scene)))
    assert [round(box.left) for _, box in shown] == [5 * (start - 100) for start in (101, 151, 201, 251)]
    assert len(asked) == len(shown)
    assert [round(edge) for edge in (shown[0][1].bottom, shown[0][1].top)] == [52, 98]


def test_marks_follow_the_strips(stand_in, addon, scene) -> None:
    marks, compat, identity = addon("ui.shown_marks").marks, addon("timeline.compat"), addon("timeline.identity")
    strip = compat.new_color(compat.strips(scene.sequence_editor), "P", 2, 10, 40)
    assert marks(scene).placeholders == ()
    identity.mark_placeholder(strip, JOB, "{}")
    assert marks(scene).placeholders == ((10, 50, 2, JOB),)
    compat.set_handles(strip, 20, 50)
    assert marks(scene).placeholders == ((20, 50, 2, JOB),) and not marks(scene).taken
    identity.mark_take(strip, JOB, "{}", "{}")
    assert marks(scene).placeholders == () and marks(scene).taken == {JOB}


def test_in_a_window_strips_that_stay_are_not_walked_over(stand_in, addon, scene, monkeypatch) -> None:
    module, compat, identity = addon("ui.shown_marks"), addon("timeline.compat"), addon("timeline.identity")
    monkeypatch.setattr(module, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    monkeypatch.setattr(module, "KEPT_SECONDS", 600.0)
    strip = compat.new_color(compat.strips(scene.sequence_editor), "P", 2, 10, 40)
    identity.mark_placeholder(strip, JOB, "{}")
    first = module.marks(scene)
    assert module.marks(scene) is first
    strip.channel = 4
    assert module.marks(scene).placeholders == ((10, 50, 4, JOB),)


@pytest.mark.parametrize("count", [3, 120])
def test_marks_of_many_strips_are_drawn_in_a_few_calls(stand_in, addon, scene, monkeypatch, count: int) -> None:
    overlay, marks = addon("ui.timeline_overlay"), addon("ui.shown_marks")
    strip_takes = addon("timeline.strip_takes")
    jobs = [stand_in.add(f"{index:032x}", ("denoising", "failed")[index % 2], progress=0.5) for index in range(count)]
    placeholders = tuple(marks.Placeholder(100 + index, 101 + index, 1, job.job_id) for index, job in enumerate(jobs))
    badge = strip_takes.Badge(1, 2, strip_takes.STAR, (jobs[0].job_id,))
    takes = tuple(marks.TakePlace(100 + 50 * (index % 2), 140 + 50 * (index % 2), 2, badge) for index in range(count))
    monkeypatch.setattr(marks, "marks", lambda *_: marks.Marks(placeholders, takes))
    drawn: list[tuple[str, int]] = []
    monkeypatch.setattr(overlay, "_shade", lambda kind, corners, color: drawn.append((kind, len(corners))))
    monkeypatch.setattr(overlay, "_put", lambda *_: None)
    context = SimpleNamespace(
        region=View(), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)), space_data=None
    )
    overlay._draw_marks(context, scene)
    assert [kind for kind, _ in drawn] == ["TRIS"] * 5, "tracks, bars, failures, shades, stars"
    assert sum(corners for _, corners in drawn) > 12 * count


def test_a_strip_that_waits_for_a_further_take_shows_its_live_picture(stand_in, addon, scene, monkeypatch) -> None:
    overlay, marks, strip_takes = addon("ui.timeline_overlay"), addon("ui.shown_marks"), addon("timeline.strip_takes")
    box = addon("operators.browser_grid").Box
    running, ended = stand_in.add("a" * 32, "denoising", progress=0.5), stand_in.add("b" * 32, "done")
    badges = [strip_takes.Badge(1, 2, "", pending) for pending in ((running.job_id,), (ended.job_id,), ())]
    takes = tuple(marks.TakePlace(100 + 30 * index, 130 + 30 * index, 2, badge) for index, badge in enumerate(badges))
    monkeypatch.setattr(marks, "marks", lambda *_: marks.Marks((), takes))
    for name in ("_shade", "_put"):
        monkeypatch.setattr(overlay, name, lambda *_: None)
    drawn = []
    monkeypatch.setattr(overlay.live_picture, "place", lambda job, strip, *_: box(strip.right - 40, 1, strip.right, 9))
    monkeypatch.setattr(overlay.live_picture, "draw", lambda job, there: drawn.append((job.job_id, there.right)))
    words = []
    monkeypatch.setattr(overlay, "_draw_badges", lambda shown, scale: words.extend(box.right for _, box in shown))
    context = SimpleNamespace(
        region=View(), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)), space_data=None
    )
    overlay._draw_marks(context, scene)
    assert [job_id for job_id, _ in drawn] == [running.job_id]
    assert words[0] == drawn[0][1] - 40, "its words have what is left"


def test_thousands_of_strips_are_read_by_and_by(stand_in, addon, scene, monkeypatch) -> None:
    """In a window: what lies where it lay keeps what is known of it until it is read again."""
    module, compat, identity = addon("ui.shown_marks"), addon("timeline.compat"), addon("timeline.identity")
    monkeypatch.setattr(module, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    monkeypatch.setattr(module, "READ_AT_ONCE", 4)
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    monkeypatch.setattr(module, "KEPT_SECONDS", 600.0)
    monkeypatch.setattr(module, "_readers", {})
    strips = compat.strips(scene.sequence_editor)

    def add(number: int):
        strip = compat.new_color(strips, "P", 2, 1 + number * 20, 10)
        identity.mark_placeholder(strip, f"{number:032x}", "{}")
        return strip

    def shown() -> list[int]:
        return [int(job_id, 16) for *_, job_id in module.marks(scene).placeholders]

    made = [add(number) for number in range(10)]
    counts = []
    while not counts or module.reading(scene):
        counts.append(len(shown()))
    assert counts == [4, 8, 10]
    made[3].channel = 4
    assert module.marks(scene).placeholders[3].channel == 4 and not module.reading(scene)
    add(10)
    assert shown() == list(range(11)), "the new one is read first, and the others are still known"
    while module.reading(scene):
        shown()
    strips.remove(made[0])
    assert sorted(shown()) == list(range(1, 11))


def test_a_stale_take_is_marked_on_its_strip(stand_in, addon, scene) -> None:
    overlay, marks = addon("ui.timeline_overlay"), addon("ui.shown_marks").marks
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    strip = compat.new_color(compat.strips(scene.sequence_editor), "P", 2, 10, 40)
    identity.mark_take(strip, JOB, "{}", "{}")
    assert marks(scene).takes == ()
    stand_in.stale.stale = frozenset({JOB})
    ((*place, badge),) = marks(scene).takes
    assert place == [10, 50, 2]
    assert overlay.badge_words(badge) == ("stale", "stale", "~")
    assert overlay.shade_of(badge) == overlay.STALE
    stand_in.stale.stale = frozenset()
    assert marks(scene).takes == ()


def test_what_is_worse_or_goes_on_is_said_before_that_a_take_is_stale(stand_in, addon) -> None:
    overlay, strip_takes = addon("ui.timeline_overlay"), addon("timeline.strip_takes")
    stand_in.add(JOB, "denoising", progress=0.5)
    gone = strip_takes.Badge(2, 3, is_gone=True, is_stale=True)
    assert overlay.shade_of(gone) == overlay.FAILED and "files are gone" in overlay.badge_words(gone)[0]
    assert overlay.badge_words(strip_takes.Badge(2, 3, is_stale=True))[0] == "2 of 3, stale"
    coming = strip_takes.Badge(2, 3, pending=(JOB,), is_stale=True)
    assert "new take" in overlay.badge_words(coming)[0] and overlay.shade_of(coming) == overlay.STALE


def test_the_ends_that_join_are_marked_in_a_color_with_their_figure(addon, scene, monkeypatch) -> None:
    overlay, marks = addon("ui.timeline_overlay"), addon("ui.shown_marks")
    badge = addon("timeline.strip_takes").Badge(1, 2)
    takes = (marks.TakePlace(120, 160, 2, badge),)
    seams = (marks.SeamPlace(120, 160, 2, 0.8, 12.4), marks.SeamPlace(200, 202, 3, 1.5, None))
    monkeypatch.setattr(marks, "marks", lambda *_: marks.Marks((), takes, seams))
    filled, words, room = [], [], []
    monkeypatch.setattr(overlay, "_fill_all", lambda boxes, color: filled.extend((box, color) for box in boxes))
    monkeypatch.setattr(overlay, "_put", lambda text, left, bottom, scale: words.append((text, left)))
    monkeypatch.setattr(overlay, "_draw_badges", lambda shown, scale: room.extend(box.right for _, box in shown))
    context = SimpleNamespace(
        region=View(), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)), space_data=None
    )
    overlay._draw_marks(context, scene)
    green, yellow, red = overlay.SEAMS
    bars = {color: box for box, color in filled if color in overlay.SEAMS}
    assert (bars[green].left, bars[green].right) == (100, 104) and (bars[red].left, bars[red].right) == (296, 300)
    assert bars[yellow].right - bars[yellow].left < 4, "a narrow strip has a narrower bar, and no figure"
    assert [text for text, _ in words] == ["0.8", "12"]
    assert words[0][1] > 104 and words[1][1] < 296 and room[0] < words[1][1], "the badge stands beside the figure"


class Drawn:
    """What was drawn of some takes: the rectangles by their color, and the words with where they begin and end."""

    def __init__(self, overlay, marks, monkeypatch, takes, seams, scene) -> None:
        self.filled: dict[tuple[float, ...], list] = {}
        self.words: dict[str, tuple[float, float]] = {}
        monkeypatch.setattr(marks, "marks", lambda *_: marks.Marks((), takes, seams))
        monkeypatch.setattr(overlay, "_shade", lambda *_: None)
        monkeypatch.setattr(overlay, "_fill_all", lambda boxes, color: self.filled.setdefault(color, []).extend(boxes))
        monkeypatch.setattr(
            overlay,
            "_put",
            lambda text, left, bottom, scale: self.words.update(
                {text: (left, left + overlay._longest((text,), 1e6, scale)[1])}
            ),
        )
        context = SimpleNamespace(
            region=View(), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)), space_data=None
        )
        overlay._draw_marks(context, scene)


@pytest.mark.parametrize("picture", [False, True])
@pytest.mark.parametrize("frames", [12, 16, 20, 30, 40])
def test_a_coming_take_hides_no_figure_of_a_seam(
    stand_in, addon, scene, monkeypatch, frames: int, picture: bool
) -> None:
    overlay, marks, strip_takes = addon("ui.timeline_overlay"), addon("ui.shown_marks"), addon("timeline.strip_takes")
    box = addon("operators.browser_grid").Box
    stand_in.add(JOB, "denoising", progress=0.5)
    place, pictures = (120, 120 + frames, 2), []
    if picture:
        monkeypatch.setattr(
            overlay.live_picture, "place", lambda job, strip, *_: box(strip.right - 10, 1, strip.right, 9)
        )
        monkeypatch.setattr(overlay.live_picture, "draw", lambda job, there: pictures.append(there))
    takes = (marks.TakePlace(*place, strip_takes.Badge(1, 2, "", (JOB,))),)
    drawn = Drawn(overlay, marks, monkeypatch, takes, (marks.SeamPlace(*place, 0.8, 12.4),), scene)
    assert {"0.8", "12"} <= drawn.words.keys()
    spans = [*drawn.words.values(), *((there.left, there.right) for there in pictures)]
    spans.sort()
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans)), spans
    assert drawn.filled[overlay.BAR], "and a bar says how far the take is"


@pytest.mark.parametrize("mark", ["", "star"])
@pytest.mark.parametrize("frames", [1, 3, 7, 10, 12, 14, 20, 40])
def test_that_a_take_is_stale_is_seen_however_narrow_its_strip_is(
    stand_in, addon, scene, monkeypatch, frames: int, mark: str
) -> None:
    overlay, marks, strip_takes = addon("ui.timeline_overlay"), addon("ui.shown_marks"), addon("timeline.strip_takes")
    place = (120, 120 + frames, 2)
    takes = (marks.TakePlace(*place, strip_takes.Badge(1, 2, mark, is_stale=True)),)
    drawn = Drawn(overlay, marks, monkeypatch, takes, (marks.SeamPlace(*place, 0.8, 12.4),), scene)
    assert len(drawn.filled[overlay.STALE]) == 1
    assert frames < 40 or {"0.8", "12"} <= drawn.words.keys(), "with room for it, all is said"


def test_more_stale_takes_than_captions_are_all_marked(stand_in, addon, scene, monkeypatch) -> None:
    overlay, marks, strip_takes = addon("ui.timeline_overlay"), addon("ui.shown_marks"), addon("timeline.strip_takes")
    badge, count = strip_takes.Badge(1, 2, is_stale=True), overlay.MAX_CAPTIONS + 50
    takes = tuple(marks.TakePlace(120 + index % 50, 140 + index % 50, 2, badge) for index in range(count))
    drawn = Drawn(overlay, marks, monkeypatch, takes, (), scene)
    assert len(drawn.filled[overlay.STALE]) == count
