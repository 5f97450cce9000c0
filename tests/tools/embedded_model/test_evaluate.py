"""The evaluation tells a painter that obeys from one that does not, and paints as the pipeline does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tools.embedded_model import evaluate, tasks, world
from tools.embedded_model.judge import Judge
from tools.embedded_model.sheets import Sheets
from wan_backend.bench import tiny_checkpoint


class DrawnJudge(Judge):
    """Sees the shape where it is red."""

    def masks(self, take):
        red = (take[0] - take[1:].amax(0)).clamp(0, 1)
        return (red > 0.25).float()


def _trial(paint):
    return evaluate.Trial(paint, DrawnJudge(), frames=9, height=72, width=128)


def _obedient(kept):
    """Paints what it was given, and between it what was drawn."""

    def paint(prompt, seed, condition):
        generator = torch.Generator().manual_seed(seed)
        if condition is None:
            return torch.rand(3, 9, 72, 128, generator=generator)
        take = (condition.inactive + condition.reactive)[0] / 2 + 0.5
        return take if kept else torch.rand(take.shape, generator=generator)

    return paint


def test_a_still_that_is_kept_passes_and_one_that_is_not_fails():
    assert all(row.kept for row in evaluate.image_rows(_trial(_obedient(True)), 2))
    assert not any(row.kept for row in evaluate.image_rows(_trial(_obedient(False)), 2))


def test_the_path_of_a_drawn_fill_is_read(monkeypatch):
    def scenes(trial, seed, count, moving=None, **fixed):
        return [evaluate.replace(scene, colour="red", look="flat", background="sky", **fixed) for scene in drawn]

    drawn = [scene for scene in evaluate.sample_scenes(5, 40) if scene.motion in ("left", "down")][:2]
    monkeypatch.setattr(evaluate.Trial, "scenes", scenes)
    chosen = iter(scenes(None, 0, 2, camera="static"))

    def paint(prompt, seed, condition):
        return world.draw([next(chosen)], frames=9, height=72, width=128).frames[0]

    rows = evaluate.fill_rows(_trial(paint), 2)
    assert [row.kept for row in rows] == [True, True, True]
    chosen = iter(scenes(None, 0, 2, camera="static"))
    assert all(row.kept for row in evaluate.extend_rows(_trial(paint), 2))


def _painted_sheets(folder, each, filled):
    """The sheets of takes that are as bright as they are late, given a grey first frame and nothing else."""
    painted = iter(range(30))
    mask = tasks.mask_of(5, 1, 0)[None]
    condition = tasks.Condition(*torch.zeros(2, 1, 3, 5, 8, 8), mask)
    sheets = Sheets(lambda prompt, seed, condition: torch.full((3, 5, 8, 8), next(painted) / 255))
    for _ in range(4 * each + filled):
        sheets("a ball", 0, condition)
    sheets("a ring", 0, None)
    sheets.save(folder, each, filled)
    return [np.asarray(Image.open(folder / name)) for name in ("pictures.png", "text.png")]


def test_the_sheets_show_some_takes_of_each_task_with_what_they_were_given(tmp_path):
    pictures, words = _painted_sheets(tmp_path, 4, 10)
    assert pictures[28::86, 4 * 128 + 8, 0].tolist() == [0, 1, 2, 4, 5, 14, 15, 18, 20, 19, 21]
    assert (pictures[28::86, 0] == 128).all() and (pictures[28::86, 128] == 255).all()
    assert pictures.shape == (14 + 11 * 86, 8 * 128 + 8, 3) and words.shape == (14 + 86, 4 * 128, 3)
    assert (words[14:28] < 99).any(), "the prompt"
    assert words[28:].max() == 26


def test_of_few_takes_none_stands_under_another_task(tmp_path):
    pictures, _ = _painted_sheets(tmp_path, 1, 1)
    assert pictures[28::86, 4 * 128 + 8, 0].tolist() == [0, 1, 2, 3, 4]


def test_seeds_are_told_apart():
    assert all(row.kept for row in evaluate.seed_rows(_trial(_obedient(True))))
    same = evaluate.seed_rows(_trial(lambda prompt, seed, condition: torch.zeros(3, 9, 72, 128)))
    assert [row.kept for row in same] == [True, False]


def test_a_row_says_when_its_floor_is_missed():
    assert "MISSED" in str(evaluate.Row("a claim", 27.9, 28, "dB", 3))
    assert "ok" in str(evaluate.Row("a claim", 28.0, 28, "dB", 3))


def test_the_pipeline_paints_from_words_and_from_a_condition():
    pipeline = tiny_checkpoint.make_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    paint = evaluate.painter_of(pipeline, frames=5, height=32, width=48, steps=1, guidance_scale=1.0)
    clip = torch.rand(1, 3, 5, 32, 48) * 2 - 1
    mask = tasks.mask_of(5, 1, 0)
    condition = tasks.Condition(clip * (1 - mask).view(1, 1, -1, 1, 1), torch.zeros_like(clip), mask[None])
    free, held = paint("a red ball", 1, None), paint("a red ball", 1, condition)
    assert free.shape == held.shape == (3, 5, 32, 48)
    assert not torch.equal(free, held)
    assert torch.equal(free, paint("a red ball", 1, None))


def test_a_painter_codes_nothing_twice_and_paints_what_the_pipeline_paints(monkeypatch):
    pipeline = tiny_checkpoint.make_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    coded, encode = [], pipeline.vae.encode
    monkeypatch.setattr(pipeline.vae, "encode", lambda clip: coded.append(clip) or encode(clip))
    given = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 1, "guidance_scale": 1.0}
    plain = pipeline("a red ball", **given, generator=torch.Generator("cpu").manual_seed(1), output_type="np").frames[0]
    assert len(coded) == 2
    paint = evaluate.painter_of(pipeline, frames=5, height=32, width=48, steps=1, guidance_scale=1.0)
    for _ in range(2):
        assert torch.equal(paint("a red ball", 1, None), torch.from_numpy(plain).permute(3, 0, 1, 2))
    assert len(coded) == 3
    clip, mask = torch.rand(1, 3, 5, 32, 48) * 2 - 1, tasks.mask_of(5, 5, 0)
    paint("a red ball", 1, tasks.Condition(clip, torch.zeros_like(clip), mask[None]))
    assert len(coded) == 4  # nothing to be made anew: grey again
    before = pipeline.vae.encode
    evaluate.painter_of(pipeline, frames=5, height=32, width=48, steps=1, guidance_scale=1.0)
    assert pipeline.vae.encode is before


def test_the_scenes_of_a_short_trial_cover_less_way():
    trial = _trial(_obedient(True))
    short, long = trial.scenes(7, 3), evaluate.replace(trial, frames=33).scenes(7, 3)
    assert [scene.words for scene in short] == [scene.words for scene in long]
    assert all(scene.travel < 0.6 * other.travel for scene, other in zip(short, long, strict=True))
    assert {scene.motion for scene in trial.scenes(7, 9, ("up",), camera="static")} == {"up"}


def test_a_table_of_another_size_is_measured_at_that_size(monkeypatch):
    asked = []
    monkeypatch.setattr(
        evaluate.WanVACEPipeline, "from_pretrained", lambda *given, **how: tiny_checkpoint.make_pipeline()
    )
    monkeypatch.setattr(evaluate, "table", lambda trial, *rest: asked.append(trial) or [])
    assert evaluate.main(["--frames", "9", "--height", "208", "--width", "384"]) == 0
    assert (asked[0].frames, asked[0].height, asked[0].width) == (9, 208, 384)


def test_the_autoencoders_rows_measure_it(monkeypatch):
    monkeypatch.setattr(evaluate.Trial, "draw", lambda trial, scene: _small(trial.frames))
    rows = evaluate.autoencoder_rows(_trial(_obedient(True)), tiny_checkpoint.make_pipeline().vae, 1, "cpu")
    assert len(rows) == 3
    assert not any(row.kept for row in rows)


def _small(frames):
    clip = torch.rand(1, 3, frames, 32, 48)
    return world.Drawing(clip, clip[:, :1], clip[:, :1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--judge", "none.safetensors"], "train one"),
        (["--weights", "nowhere"], "there is no checkpoint at nowhere"),
        (["--frames", "10"], "9, 13, 17"),
        (["--frames", "69"], "up to 65"),
        (["--height", "100"], "--height must be a multiple of 16"),
        (["--width", "400"], "from 96 to 384, not 400"),
        (["--takes", "0"], "more than 0"),
        (["--lora", "none.safetensors"], "there is no LoRA at none.safetensors"),
    ],
)
def test_what_can_t_be_measured_is_said_before_anything_is_painted(given, said, capsys):
    with pytest.raises(SystemExit) as left:
        evaluate.main(given)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_rows_are_shown_as_they_come_and_a_missed_one_is_told_at_the_end(monkeypatch, capsys):
    def table(*given):
        yield evaluate.Row("one", 89.0, 90, "%", 10)
        assert "MISSED" in capsys.readouterr().out
        yield evaluate.Row("other", 90.0, 90, "%", 10)

    monkeypatch.setattr(
        evaluate.WanVACEPipeline, "from_pretrained", lambda *given, **how: tiny_checkpoint.make_pipeline()
    )
    monkeypatch.setattr(evaluate, "table", table)
    assert evaluate.main([]) == 1


def test_takes_are_painted_with_a_lora_where_one_is_given(monkeypatch):
    painted, lora = [], evaluate.WEIGHTS.parent / "loras" / "draft.safetensors"

    def table(trial, *rest):
        painted.append(trial.paint("a red ball moves left", 1, None))
        return []

    monkeypatch.setattr(evaluate, "table", table)
    given = ["--frames", "9", "--height", "96", "--width", "96", "--steps", "2", "--guidance-scale", "1"]
    assert evaluate.main(given) == evaluate.main([*given, "--lora", str(lora)]) == 0
    assert not torch.allclose(*painted, atol=0.01)


def test_every_row_is_measured():
    trial = _trial(_obedient(True))
    rows = [*evaluate.word_rows(trial, 1), *evaluate.guided_rows(trial, 1)]
    assert len(rows) == 8
    assert all(0 <= row.figure <= 100 for row in rows)
