"""What is chosen on the page becomes a request, and a request the choices again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.wan_backend.web.conftest import SMALL
from wan_backend.protocol import bounds
from wan_backend.protocol.messages import FrameRate, LoraUse, MediaFormat, Pictures, Quality, Role, Task
from wan_backend.protocol.uploads import Upload
from wan_backend.web import take_form
from wan_backend.web.take_form import Choices, Unusable

PICTURE = Upload(300, 400, file="picture.png")
MOVIE = Upload(1920, 1080, True, 100, 30000, 1001, Pictures(1920, 1080, 0, 64, 64, 64), "upload")
ASKED = Choices(prompt=" a red circle ", model="small", quality=Quality.DRAFT, size="128p", seconds=1.0, seed=7)


@pytest.fixture
def make(uploads, tmp_path):
    def to_request(choices: Choices, loras: dict[str, Path] | None = None):
        made = take_form.to_request(choices, [SMALL], uploads, loras or {}, tmp_path)
        assert bounds.is_sane_request(made)
        return made

    return to_request


def test_words_alone(make, tmp_path):
    made = make(ASKED)
    assert (made.prompt, made.task, made.seed, made.resolution) == ("a red circle", Task.TEXT_TO_VIDEO, 7, "128p")
    assert made.length_frames == 17 and made.frame_rate == FrameRate(16) and made.media_format is MediaFormat.H264
    assert made.media_folder == str(tmp_path) and made.quality is Quality.DRAFT and not made.sources
    assert made.width / made.height == pytest.approx(16 / 9, rel=0.02)
    tall = make(replace(ASKED, shape="Tall"))
    assert tall.width / tall.height == pytest.approx(9 / 16, rel=0.02)


def test_each_take_has_another_seed_unless_one_is_given(make):
    assert len({make(replace(ASKED, seed=None)).seed for _ in range(8)}) > 1


def test_a_picture_gives_the_take_its_shape(make, sent):
    picture = sent(PICTURE)
    made = make(replace(ASKED, task=Task.IMAGE_TO_VIDEO, prompt="", upload=picture))
    (source,) = made.sources
    assert (source.role, source.files, source.is_movie) == (Role.FIRST, ["picture.png"], False)
    assert made.width / made.height == pytest.approx(3 / 4, rel=0.02)


def test_a_movie_is_restyled_frame_by_frame_at_its_own_rate(make, sent):
    made = make(replace(ASKED, task=Task.RESTYLE, upload=sent(MOVIE), seconds=2.0))
    (source,) = made.sources
    assert float(made.frame_rate.exact()) == pytest.approx(30000 / 1001)
    assert (source.role, source.first_frame, source.frames, made.length_frames) == (Role.FOOTAGE, 0, 60, 60)
    whole = make(replace(ASKED, task=Task.RESTYLE, upload=sent(MOVIE), seconds=9.0))
    assert whole.length_frames == whole.sources[0].frames == 100


def test_a_movie_goes_on_from_its_last_frames(make, sent):
    made = make(replace(ASKED, task=Task.EXTEND, upload=sent(MOVIE), seconds=1.0))
    (source,) = made.sources
    assert source.role is Role.BEFORE and source.first_frame + source.frames == 100 and made.length_frames == 30
    short = make(replace(ASKED, task=Task.EXTEND, upload=sent(replace(MOVIE, frames=3)), seconds=1.0))
    assert (short.sources[0].first_frame, short.sources[0].frames) == (0, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": " "}, "The prompt is empty: describe what the take shows."),
        ({"prompt": "x" * 6000}, "That is too long: a prompt may have 5,000 characters."),
        ({"model": "other"}, "Choose a model."),
        ({"task": Task.IMAGE_TO_VIDEO}, "Choose a picture first."),
        ({"task": Task.RESTYLE, "upload": "../../etc"}, "Choose a movie first."),
        ({"task": Task.RESTYLE, "upload": "picture"}, "That is a picture; choose a movie."),
        ({"task": Task.IMAGE_TO_VIDEO, "upload": "movie"}, "That is a movie; choose a picture."),
        ({"loras": {"gone": 1.0}}, "The LoRA gone is no longer there; take it out of the list."),
    ],
)
def test_what_makes_no_take_is_said_in_a_sentence(make, sent, changes, words):
    there = {"picture": sent(PICTURE), "movie": sent(MOVIE)}
    upload = changes.get("upload", "")
    with pytest.raises(Unusable, match="^" + words.replace(".", r"\.") + "$"):
        make(replace(ASKED, **{**changes, "upload": there.get(upload, upload)}))


def test_wild_numbers_stay_within_bounds(make, sent):
    wild = replace(ASKED, seconds=1e9, seed=-5, strength=40.0, shape="<b>", size="none")
    made = make(replace(wild, task=Task.RESTYLE, upload=sent(replace(MOVIE, frames=5000, rate_numerator=240_000))))
    assert made.length_frames == 2000 and made.seed == 0 and made.strength == 1.0 and made.resolution == "144p"


@pytest.mark.parametrize("task", [*take_form.TASKS])
def test_a_takes_settings_come_back_as_they_were(make, sent, uploads, tmp_path, task):
    kind = {Task.TEXT_TO_VIDEO: None, Task.IMAGE_TO_VIDEO: PICTURE}.get(task, MOVIE)
    upload = sent(kind) if kind is not None else ""
    loras = {"stripes": tmp_path / "stripes.safetensors"}
    asked = replace(ASKED, task=task, upload=upload, prompt="a star", avoid="rain", loras={"stripes": 0.5})
    request = make(asked, loras)
    assert request.loras == [LoraUse(str(loras["stripes"]), 0.5)]
    assert take_form.from_request(request, uploads, loras) == asked


def test_an_edit_has_its_movie_and_reference_pictures_in_their_own_shapes(make, sent, uploads):
    movie, pictures = sent(MOVIE), (sent(PICTURE), sent(replace(PICTURE, width=90)))
    asked = replace(ASKED, task=Task.EDIT, upload=movie, prompt="a red hat", references=pictures)
    made = make(asked)
    assert [(each.role, each.at_frame) for each in made.sources] == [
        (Role.FOOTAGE, 0),
        (Role.REFERENCE, 1),
        (Role.REFERENCE, 2),
    ]
    assert made.sources[2].pictures == Pictures(90, 400) and made.sources[2].framing.canvas_width == 90
    assert take_form.from_request(made, uploads, {}) == replace(asked)
    uploads.remove(pictures[0])
    there = take_form.without_lost(take_form.from_request(made, uploads, {}), uploads)
    assert (there.upload, there.references) == (movie, pictures[1:])
    assert len(make(replace(asked, task=Task.RESTYLE)).sources) == 1, "they wait for another edit"
    for references, sentence in (
        (("0" * 32,), "A reference picture is no longer there; choose it again, or leave it out."),
        ((movie,), "A reference is a movie; choose a picture."),
        ((pictures[1],) * 5, "An edit takes at most 4 reference pictures; leave some out."),
    ):
        with pytest.raises(Unusable, match=sentence):
            make(replace(asked, references=references))


def test_another_take_differs_in_its_seed_alone(make, tmp_path):
    request = make(ASKED)
    again = take_form.another(request, tmp_path)
    assert again.seed != request.seed and replace(again, seed=request.seed) == request


def test_a_take_is_as_long_as_the_model_makes_in_one_go():
    assert take_form.usual_seconds(SMALL) == 2.0
    assert take_form.usual_seconds(replace(SMALL, max_frames=2000)) == take_form.USUAL_SECONDS


def test_loras_are_those_in_the_folders_by_their_names(tmp_path):
    for name in ("a/one.safetensors", "b/one.safetensors", "b/two.SAFETENSORS", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "folder.safetensors").mkdir()
    found = take_form.loras_in([tmp_path / "a", tmp_path / "gone", tmp_path / "b"])
    assert [*found] == ["one", "one (2)", "two"] and found["one (2)"] == tmp_path / "b" / "one.safetensors"
