"""Which picture lies where on a canvas, for each task."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.wan_backend.worker.footage import HEIGHT, WIDTH, picture, source
from wan_backend.frames import source_frames
from wan_backend.pipelines.stopping import Stopped
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import (
    FrameRate,
    Framing,
    Guide,
    KeptPicture,
    Pictures,
    Plan,
    Role,
    Source,
    TakeRequest,
    Task,
)
from wan_backend.worker.gather import gather

MODEL_RATE = FrameRate(16)


def gathered(
    task, sources, take=12, scene=24, frames=9, before=0, after=0, model="any", should_stop=lambda: False,
    planned=None, **more
):  # fmt: skip
    request = TakeRequest(
        "fog", model, WIDTH, HEIGHT, take, FrameRate(scene), 1, "", task=task, sources=sources, **more
    )
    plan = Plan(
        model, WIDTH, HEIGHT, frames, MODEL_RATE, take, 2, 3.0, 3.0, "unipc", kept_before=before, kept_after=after,
        **(planned or {}),
    )  # fmt: skip
    return gather(request, plan, lambda film: 255 - film, should_stop)


def shown(pictures) -> dict[int, int]:
    """Frame -> number of the picture that is there."""
    pairs = pictures.items() if isinstance(pictures, dict) else enumerate(pictures)
    known = {picture(number).tobytes(): number for number in range(64)}
    return {frame: known[np.ascontiguousarray(pixels).tobytes()] for frame, pixels in pairs}


def test_text_needs_nothing():
    canvas = gathered(Task.TEXT_TO_VIDEO, [])
    assert canvas.kept == {} and canvas.guide is None and canvas.footage is None and canvas.look is None


def test_an_image_is_the_first_frame(tmp_path):
    assert shown(gathered(Task.IMAGE_TO_VIDEO, [source(tmp_path, Role.FIRST, range(3, 4))]).kept) == {0: 3}


@pytest.mark.parametrize(
    ("take", "scene", "last"), [(9, 16, [8]), (12, 24, [7, 8]), (8, 16, [7, 8]), (1, 24, [*range(1, 9)])]
)
def test_a_last_image_is_there_from_the_take_s_last_frame_on(tmp_path, take, scene, last):
    sources = [source(tmp_path, Role.FIRST, range(3, 4)), source(tmp_path, Role.LAST, range(5, 6))]
    canvas = gathered(Task.IMAGE_TO_VIDEO, sources, take=take, scene=scene)
    assert shown(canvas.kept) == {0: 3, **dict.fromkeys(last, 5)}


def test_a_gap_has_the_frames_that_touch_it(tmp_path):
    """At 24 fps each second model frame is three scene frames after the one before it."""
    sources = [source(tmp_path, Role.BEFORE, range(10)), source(tmp_path, Role.AFTER, range(22, 40))]
    canvas = gathered(Task.FILL_GAP, sources, frames=17, before=5, after=4)
    kept = shown(canvas.kept)
    assert sorted(kept) == [0, 1, 2, 3, 4, 13, 14, 15, 16]
    assert kept[4] == 9  # the neighbor's last frame
    for frame, number in kept.items():  # numbers are scene frames from 10 before the take
        time = (frame - 4) / 16 + 9 / 24
        assert abs(number / 24 - time) <= 0.5 / 24 + 1e-9


def test_extending_forward_and_backward(tmp_path):
    forward = gathered(Task.EXTEND, [source(tmp_path / "f", Role.BEFORE, range(10))], frames=13, before=5)
    assert shown(forward.kept)[4] == 9 and sorted(forward.kept) == [0, 1, 2, 3, 4]
    backward = gathered(Task.EXTEND, [source(tmp_path / "b", Role.AFTER, range(20, 30))], frames=13, after=4)
    assert shown(backward.kept)[9] == 20 and sorted(backward.kept) == [9, 10, 11, 12]


def test_a_source_that_is_too_short_holds_its_outer_frame(tmp_path):
    canvas = gathered(Task.EXTEND, [source(tmp_path, Role.BEFORE, range(2))], frames=13, before=5)
    assert shown(canvas.kept) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1}


@pytest.mark.parametrize("guide", list(Guide))
def test_a_restyle_has_its_footage_at_the_model_s_times(tmp_path, guide):
    sources = [source(tmp_path, Role.FOOTAGE, range(12))]
    if guide is Guide.DEPTH:
        sources.append(source(tmp_path, Role.DEPTH, range(30, 42)))
    canvas = gathered(Task.RESTYLE, sources, strength=0.5, guide=guide)
    times = {frame: round(number / 24 * 16 - frame, 9) for frame, number in shown(canvas.footage).items()}
    assert len(times) == 9 and all(abs(away) <= 0.5 * 16 / 24 + 1e-9 for frame, away in times.items() if frame < 8)
    if guide is Guide.NONE:
        assert canvas.guide is None
    elif guide is Guide.FRAMES:
        assert canvas.guide is canvas.footage
    elif guide is Guide.EDGES:
        assert np.array_equal(canvas.guide[3], source_frames.edges(canvas.footage[3]))
    else:
        assert shown(canvas.guide) == {frame: number + 30 for frame, number in shown(canvas.footage).items()}


def test_depth_that_no_source_gives_is_told_from_the_footage(tmp_path):
    canvas = gathered(Task.RESTYLE, [source(tmp_path, Role.FOOTAGE, range(12))], guide=Guide.DEPTH)
    assert np.array_equal(canvas.guide, 255 - canvas.footage)


def test_previs_has_depth_and_a_look(tmp_path):
    sources = [source(tmp_path, Role.DEPTH, range(12)), source(tmp_path, Role.LOOK, range(50, 51))]
    canvas = gathered(Task.PREVIS, sources)
    assert len(shown(canvas.guide)) == 9 and np.array_equal(canvas.look, picture(50)) and canvas.kept == {}
    canvas = gathered(Task.PREVIS, sources, model="embedded")  # knows no references
    assert canvas.look is None and shown(canvas.kept) == {0: 50}
    assert gathered(Task.PREVIS, sources[:1]).look is None


def test_previs_may_keep_to_the_outlines_of_its_depth(tmp_path):
    sources = [source(tmp_path, Role.DEPTH, range(12))]
    depth, outlines = gathered(Task.PREVIS, sources).guide, gathered(Task.PREVIS, sources, guide=Guide.EDGES).guide
    assert np.array_equal(outlines, np.stack([source_frames.edges(each) for each in depth]))


def test_a_source_that_is_gone_is_a_sentence(tmp_path):
    sources = [source(tmp_path, Role.FIRST, range(3, 4))]
    (tmp_path / "first" / "0003.png").unlink()
    with pytest.raises(Refusal) as caught:
        gathered(Task.IMAGE_TO_VIDEO, sources)
    assert caught.value.problem.kind == "bad_source" and "0003.png" in caught.value.problem.sentence


def test_it_can_be_stopped(tmp_path):
    with pytest.raises(Stopped):
        gathered(
            Task.RESTYLE, [source(tmp_path, Role.FOOTAGE, range(12))], guide=Guide.FRAMES, should_stop=lambda: True
        )


def kept(folder, number: int, at: int):
    return replace(source(folder / str(number), Role.KEPT, range(number, number + 1)), at_frame=at)


def with_kept(task, sources, *places: tuple[int, int], **more):
    """The canvas of a take that keeps pictures at (the take's frame, the model's frame)."""
    plan = {"kept_pictures": [KeptPicture(*place) for place in places]}
    return gathered(task, sources, planned=plan, **more)


def test_kept_pictures_lie_at_their_own_frames_of_any_task(tmp_path):
    pictures = [kept(tmp_path, 40, 3), kept(tmp_path, 41, 9)]
    places = ((3, 2), (9, 6))
    assert shown(with_kept(Task.TEXT_TO_VIDEO, pictures, *places).pictures) == {2: 40, 6: 41}
    ends = [source(tmp_path, Role.FIRST, range(3, 4)), source(tmp_path, Role.LAST, range(5, 6))]
    canvas = with_kept(Task.IMAGE_TO_VIDEO, [*ends, *pictures], *places)
    assert shown(canvas.pictures) == {2: 40, 6: 41} and shown(canvas.kept) == {0: 3, 7: 5, 8: 5}


def test_footage_has_a_kept_picture_in_its_place(tmp_path):
    footage = source(tmp_path, Role.FOOTAGE, range(9))
    canvas = with_kept(
        Task.RESTYLE, [footage, kept(tmp_path, 40, 4)], (4, 4), take=9, scene=16, guide=Guide.FRAMES, strength=0.5
    )
    assert shown(canvas.pictures) == {4: 40} and not canvas.kept
    assert shown(canvas.footage) == {**dict(enumerate(range(9))), 4: 40}


def test_an_edit_has_its_footage_and_each_picture_whole_in_a_shape_of_its_own(tmp_path):
    """No side is longer than the take's longest, and all are multiples of a token's: 64 and 16 here."""
    footage = source(tmp_path, Role.FOOTAGE, range(12))
    wide = reference(tmp_path / "wide", np.full((90, 300, 3), 50, np.uint8))
    small = reference(tmp_path / "small", np.full((35, 20, 3), 90, np.uint8))
    rendered = replace(reference(tmp_path / "rendered", picture(5)), pictures=None, rendered=True)
    canvas = gathered(Task.EDIT, [footage, wide, small, rendered])
    assert canvas.footage is not None and len(canvas.footage) == 9 and canvas.guide is None
    assert [each.shape for each in canvas.references] == [(16, 64, 3), (32, 16, 3), (HEIGHT, WIDTH, 3)]
    assert (canvas.references[0] == 50).all() and (canvas.references[1] == 90).all(), "nothing is around them"
    assert np.array_equal(canvas.references[2], picture(5))


def test_what_is_cropped_from_a_reference_is_not_seen(tmp_path):
    levels = np.zeros((64, 96, 3), np.uint8)
    levels[:, 48:] = 200
    framing = Framing(640, 480, 100.0, 50.0, 30.0, 40.0, crop_left=48.0)
    (shown,) = gathered(
        Task.EDIT,
        [
            source(tmp_path, Role.FOOTAGE, range(12)),
            replace(reference(tmp_path / "half", levels), framing=framing),
        ],
    ).references
    assert shown.shape == (64, 48, 3) and (shown == 200).all()


def test_a_reference_that_has_no_size_is_refused_like_any_other_that_is_not_as_it_was_framed(tmp_path):
    sizeless = replace(reference(tmp_path / "it", np.zeros((20, 20, 3), np.uint8)), pictures=Pictures(0, 0))
    with pytest.raises(Refusal, match="not 0 x 0 pixels"):
        gathered(Task.EDIT, [source(tmp_path, Role.FOOTAGE, range(12)), sizeless])


def reference(folder, levels: np.ndarray) -> Source:
    folder.mkdir()
    cv2.imwrite(str(folder / "it.png"), levels[:, :, ::-1])
    return Source(Role.REFERENCE, str(folder), ["it.png"], pictures=Pictures(levels.shape[1], levels.shape[0]))
