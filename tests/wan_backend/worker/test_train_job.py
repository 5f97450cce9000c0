"""Trainings through a worker's executor: what comes of them, that they go on as never stopped, and what ends them."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file

from tests.wan_backend.frames import written_movies
from tests.wan_backend.library import file_forms
from tests.wan_backend.worker import footage, trainings
from tests.wan_backend.worker.executors import RecordingExecutor, asked, silent_executor
from wan_backend.bench import tiny_checkpoint
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.locate import LocatedModel
from wan_backend.loading import lora_weights
from wan_backend.lora.resolve import transformer_configs
from wan_backend.memory import training_needs
from wan_backend.pipelines import text_to_video
from wan_backend.pipelines.stopping import Stopped
from wan_backend.planning import plan_steps, training_steps
from wan_backend.planning.draft import Inventory
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import JobState, Role, RunParams, Source, Training
from wan_backend.storage import lora_metadata
from wan_backend.training.kept_training import TrainingState
from wan_backend.training.trained_model import StepOutcome, TrainedModel
from wan_backend.worker import train_job
from wan_backend.worker.server_connection import Run
from wan_backend.worker.trained_loras import TrainedLoras

NO_SAMPLE = Training("Waves", "zug", captions=trainings.CAPTIONS)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return trainings.clips(tmp_path_factory.mktemp("footage"))


@pytest.fixture(scope="module")
def executor():
    return RecordingExecutor()


@pytest.fixture(scope="module")
def trained(t2v_folder, sources, executor, tmp_path_factory):
    """One whole training with samples, and what was reported of it."""
    folder = tmp_path_factory.mktemp("trained")
    result = executor.run(asked(trainings.params(folder, t2v_folder, sources)))
    return folder, result, list(executor.progress)


def numbers(path: str) -> dict[str, torch.Tensor]:
    return load_file(path)


def same(one: str, other: str) -> bool:
    first, second = numbers(one), numbers(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_finished_lora_and_those_before_it_are_there_with_their_samples(trained):
    _, result, reports = trained
    assert result.take is None
    status = result.training
    assert [(lora.step, Path(lora.path).name) for lora in status.kept] == [
        (2, "Waves 000002.safetensors"),
        (4, "Waves 000004.safetensors"),
        (4, "Waves.safetensors"),
    ]
    assert same(status.kept[1].path, status.kept[2].path) and not same(status.kept[0].path, status.kept[1].path)
    without, last = (cv2.imread(file) for file in (status.picture_without, status.kept[-1].picture))
    assert without.shape == last.shape == (32, 32, 3), "as many frames as make it a square"
    assert np.abs(without.astype(int) - last).max() > 8, "the LoRA shows"
    assert status.trigger == "zug" and status.clips == 3 and status.notes == []
    assert len(status.curve) == 4 and all(np.isfinite(status.curve))
    assert [report.state for report in reports][-1] is JobState.DENOISING
    assert reports[-1].step == reports[-1].steps == 4
    assert any(report.training is not None and report.training.kept for report in reports)
    assert not any(report.progress < before.progress for before, report in itertools.pairwise(reports))


def test_the_head_says_what_it_was_trained_on_and_nothing_private(trained, t2v_folder):
    folder, result, _ = trained
    path = result.training.kept[-1].path
    head = lora_metadata.metadata_of(path)
    assert lora_metadata.trigger_of(path) == "zug"
    assert head["modelspec.title"] == "Waves" and head["ss_network_dim"] == "4"
    assert (head["wan_vse.captions"], head["wan_vse.steps"], head["wan_vse.clips"]) == ("2", "4", "3")
    assert len(head["wan_vse.base_model_sha256"]) == 64
    said = json.dumps(head) + (Path(path).parent / "training.json").read_text("utf-8")
    assert str(folder) not in said and str(t2v_folder) not in said
    assert not any(caption and caption in said for caption in trainings.CAPTIONS)


def test_our_own_loader_takes_all_of_it(trained, t2v_folder):
    extents = shapes(transformer_configs(ComponentFiles(t2v_folder))["transformer"])
    weights = lora_weights.load(Path(trained[1].training.kept[-1].path), extents)
    assert len(weights.layers) == 2 * 10 and not weights.differences
    assert all(factors.alpha == factors.down.shape[0] == 4 for factors in weights.layers.values())


def test_diffusers_makes_the_same_of_it(trained, t2v_folder):
    """Its pipeline converts the keys; the transformer then says what ours says with that LoRA."""
    path = trained[1].training.kept[-1].path
    pipeline = WanPipeline.from_pretrained(t2v_folder)
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4, generator=generator),
        "timestep": torch.tensor([700.0]),
        "encoder_hidden_states": torch.randn(1, 8, tiny_checkpoint.TEXT_WIDTH, generator=generator),
        "return_dict": False,
    }
    with torch.no_grad():
        plain = pipeline.transformer(**inputs)[0]
        pipeline.load_lora_weights(Path(path).parent, weight_name=Path(path).name)
        with_lora = pipeline.transformer(**inputs)[0]
        extents = shapes(dict(pipeline.transformer.config))
        ours = WanPipeline.from_pretrained(t2v_folder).transformer
        for layer, factors in lora_weights.load(Path(path), extents).layers.items():
            ours.get_submodule(layer).weight += factors.up.float() @ factors.down.float()
        assert torch.allclose(ours(**inputs)[0], with_lora, atol=1e-4)
        assert (with_lora - plain).abs().max() > 1e-3


def stopped_after(steps: int, executor: RecordingExecutor, job: RunParams, monkeypatch) -> object:
    """The answer of a training that is canceled once it has made so many steps."""
    run = Run(job, lambda _answer: None)
    real = TrainedModel.apply

    def apply(self, step: int) -> None:
        real(self, step)
        counted.append(step)
        if len(counted) == steps:
            run.canceled.set()

    counted: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(TrainedModel, "apply", apply)
        return executor.run(run)


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.long), 3])
def test_a_training_that_was_stopped_comes_to_the_same_bit_for_bit(
    steps, trained, t2v_folder, sources, executor, tmp_path, monkeypatch
):
    job = trainings.params(tmp_path, t2v_folder, sources, sample_steps=0)
    refusal = stopped_after(steps, executor, job, monkeypatch)
    assert isinstance(refusal, Refusal) and refusal.problem.kind == "cancelled"
    result = executor.run(asked(job))
    files = [Path(each.training.kept[-1].path) for each in (result, trained[1])]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert result.training.curve == trained[1].training.curve
    assert [lora.step for lora in result.training.kept] == [2, 4, 4]


def test_a_worker_that_is_killed_leaves_what_was_kept_before(t2v_folder, sources, executor, trained, tmp_path):
    """The kept steps as they were at a sample: what came after is made again, to the bit."""
    job = trainings.params(tmp_path, t2v_folder, sources, sample_steps=0)
    kept: list[bytes] = []
    real = TrainingState.write

    def write(self, file: Path, fingerprint: str) -> None:
        real(self, file, fingerprint)
        kept.append(file.read_bytes())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainingState, "write", write)
        executor.run(asked(job))
    (Path(job.work_folder) / "steps.safetensors").write_bytes(kept[0])
    shutil.rmtree(tmp_path / "loras")
    result = executor.run(asked(job))
    assert executor.progress[-1].step == 4
    assert any("Resuming at step 3 of 4" in sentence for sentence in executor.sentences)
    assert same(result.training.kept[-1].path, trained[1].training.kept[-1].path)


@pytest.mark.parametrize("told", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_training_that_ends_in_a_sample_still_keeps_that_steps_lora(
    told, t2v_folder, sources, executor, tmp_path, monkeypatch
):
    """With its sample only if it was told to stop: one that the worker died of isn't tried again."""
    job = trainings.params(tmp_path, t2v_folder, sources)
    shown = TrainedLoras.show

    def show(self, step: int, made: np.ndarray) -> str:
        if step == 2:
            raise Stopped if told else OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
        return shown(self, step, made)

    with monkeypatch.context() as patched:
        patched.setattr(TrainedLoras, "show", show)
        assert isinstance(executor.run(asked(job)), Refusal)
    result = executor.run(asked(job))
    assert [(lora.step, bool(lora.picture)) for lora in result.training.kept] == [(2, told), (4, True), (4, True)]
    assert Path(result.training.kept[0].path).is_file()


def test_a_full_disk_keeps_no_training_from_being_canceled(t2v_folder, sources, executor, tmp_path, monkeypatch):
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0, sample_every=4)

    def write(self, file: Path, fingerprint: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(TrainingState, "write", write)
    refusal = stopped_after(2, executor, job, monkeypatch)
    assert isinstance(refusal, Refusal) and refusal.problem.kind == "cancelled"


def test_another_card_or_less_memory_goes_on(t2v_folder, sources, executor, tmp_path, monkeypatch):
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0)
    stopped_after(3, executor, job, monkeypatch)
    choose = training_needs.choose
    monkeypatch.setattr(
        training_needs, "choose", lambda *shape, **more: replace(choose(*shape, **more), eight_bit=True)
    )
    monkeypatch.setattr(train_job.devices, "name", lambda _device: "another card")
    result = executor.run(asked(job))
    assert not isinstance(result, Refusal), result.problem.sentence
    assert any("Resuming at step 4" in sentence for sentence in executor.sentences)


def test_memory_that_ends_on_a_card_leads_to_a_smaller_way(
    t2v_folder, sources, executor, trained, tmp_path, monkeypatch
):
    """In the steps, and before them while clips are encoded; nothing that was made is lost."""
    real_make, real_bring, ways = train_job.ClipMaker.make, TrainedModel.bring, []

    def make(self):
        made = real_make(self)
        monkeypatch.setattr(train_job.ClipMaker, "make", real_make)
        if made:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    def bring(self, component: str) -> None:
        ways.append(self.memory)
        if not self.memory.eight_bit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        real_bring(self, component)

    monkeypatch.setattr(train_job.ClipMaker, "make", make)
    monkeypatch.setattr(train_job.JobMemory, "on_cpu", False)
    monkeypatch.setattr(train_job.JobMemory, "shrink", lambda _self, component: component == "text_encoder")
    monkeypatch.setattr(TrainedModel, "bring", bring)
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0)
    result = executor.run(asked(job))
    assert not isinstance(result, Refusal), result.problem.sentence
    assert [way.eight_bit for way in ways] == [False, True]
    assert sum(sentence == train_job.LESS_MEMORY for sentence in executor.sentences) == 2


def test_memory_that_ends_is_said_to_be_the_cards_with_what_to_do(t2v_folder, sources, tmp_path, monkeypatch):
    executor = RecordingExecutor()
    job = trainings.params(tmp_path, t2v_folder, sources)
    job = replace(job, device="cuda", plan=replace(job.plan, model_frames=49))
    monkeypatch.setattr(train_job.devices, "choose", torch.device)
    problem = executor._refusal(torch.OutOfMemoryError("CUDA out of memory"), job).problem
    assert problem.kind == "out_of_memory"
    assert problem.sentence == (
        "The graphics card ran out of memory in training at 32 x 32 with 49 frames, also with the frozen weights in 8 "
        "bit and outside of the card; choose a smaller size, let it learn a look, whose clips are shorter, or a "
        "smaller model, or close other programs that use it, then press Retry."
    )
    on_cpu = executor._refusal(MemoryError(), replace(job, device="cpu")).problem
    assert on_cpu.sentence.startswith("The machine ran out of memory in training at 32 x 32 with 49 frames; choose")
    beside = executor._refusal(MemoryError(), job).problem
    assert beside.sentence.startswith("This machine's own memory ran out in training at 32 x 32")


def test_words_without_the_trigger_are_read_only_where_they_are_asked_for(
    t2v_folder, sources, executor, tmp_path, monkeypatch
):
    read: list[str] = []
    real = text_to_video.embeds_of
    monkeypatch.setattr(text_to_video, "embeds_of", lambda job, prompts: read.extend(prompts) or real(job, prompts))
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0, only_with_trigger=False)
    executor.run(asked(job))
    assert read == ["zug, a red wave", "zug, waves at night", "zug"]


def test_another_rate_begins_anew(t2v_folder, sources, executor, tmp_path, monkeypatch):
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0)
    stopped_after(3, executor, job, monkeypatch)
    executor.run(asked(trainings.with_plan(job, learning_rate=2e-2)))
    assert not any("Resuming" in sentence for sentence in executor.sentences)


def test_a_loss_that_is_no_number_ends_it_and_the_last_good_one_is_kept(
    t2v_folder, sources, executor, tmp_path, monkeypatch
):
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0)
    real, counted = TrainedModel.learn, []

    def learn(self, *arguments, **more):
        counted.append(1)
        return StepOutcome(float("nan"), 1.0) if len(counted) == 4 else real(self, *arguments, **more)

    monkeypatch.setattr(TrainedModel, "learn", learn)
    refusal = executor.run(asked(job))
    assert refusal.problem.sentence == (
        "The loss stopped being a number at step 4, so the training was ended. The LoRA of step 2 is kept. Lower the "
        "learning rate, or look whether a clip is damaged."
    )
    (lora,) = executor.progress[-1].training.kept
    assert lora.step == 2
    assert all(bool(torch.isfinite(tensor).all()) for tensor in numbers(lora.path).values())


def test_a_disk_that_fills_in_the_middle_is_a_sentence_and_retry_goes_on(
    t2v_folder, sources, executor, trained, tmp_path, monkeypatch
):
    job = trainings.params(tmp_path, t2v_folder, sources, sample_steps=0)
    real, counted = TrainingState.write, []

    def write(self, file: Path, fingerprint: str) -> None:
        counted.append(1)
        if len(counted) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        real(self, file, fingerprint)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "write", write)
        refusal = executor.run(asked(job))
    assert refusal.problem.kind == "disk_full"
    assert "The disk of" in refusal.problem.sentence and "it resumes from its last step" in refusal.problem.sentence
    result = executor.run(asked(job))
    assert any("Resuming at step 3" in sentence for sentence in executor.sentences)
    assert same(result.training.kept[-1].path, trained[1].training.kept[-1].path)


def test_media_that_changes_or_goes_changes_nothing(t2v_folder, executor, trained, tmp_path, monkeypatch):
    sources = trainings.clips(tmp_path / "footage")
    job = trainings.params(tmp_path, t2v_folder, sources, sample_steps=0)
    stopped_after(2, executor, job, monkeypatch)
    changed, gone = Path(sources[0].folder), Path(sources[1].folder)
    for file in changed.iterdir():
        cv2.imwrite(str(file), np.full((48, 64, 3), 90, np.uint8))
    shutil.rmtree(gone)
    result = executor.run(asked(job))
    assert result.notes == [
        "Changed since the training began, which goes on with what they were: 0000.png.",
        "No longer there, and not needed any more: 0020.png.",
    ]
    assert same(result.training.kept[-1].path, trained[1].training.kept[-1].path)


def test_black_clips_are_left_out_and_those_alike_are_named(t2v_folder, executor, tmp_path):
    sources = trainings.clips(tmp_path / "footage", (5, 5, 5))
    for file in Path(sources[0].folder).iterdir():
        cv2.imwrite(str(file), np.zeros((48, 64, 3), np.uint8))
    for own, file in zip(
        sorted(Path(sources[2].folder).iterdir()), sorted(Path(sources[1].folder).iterdir()), strict=True
    ):
        shutil.copy(file, own)
    named = replace(NO_SAMPLE, names=["Night", "Dawn"])
    job = trainings.params(tmp_path, t2v_folder, sources, training=named, sample_steps=0)
    result = executor.run(asked(job))
    assert result.notes == ["Black, and left out: Night.", "Nearly the same as clips before them: 0040.png."]
    assert result.training.clips == 2
    black = replace(job, request=replace(job.request, sources=sources[:1]), work_folder=str(tmp_path / "other"))
    assert "All clips are black" in executor.run(asked(black)).problem.sentence


def test_clips_of_all_sizes_and_captions_in_any_writing_are_trained_from(t2v_folder, executor, tmp_path):
    """Movies without sound and a picture, each of another size."""
    movies = [tmp_path / f"{number}.mkv" for number in range(2)]
    for file, length in zip(movies, (9, 23), strict=True):
        written_movies.write(file, length, "ffv1")
    sources = [
        Source(Role.CLIP, str(tmp_path), [movies[0].name], is_movie=True, frames=9),
        Source(Role.CLIP, str(tmp_path), [movies[1].name], is_movie=True, first_frame=2, frames=21),
        *trainings.clips(tmp_path / "still", (1,)),
    ]
    cv2.imwrite(str(Path(sources[2].folder, sources[2].files[0])), np.tile(footage.picture(3), (3, 5, 1)))
    hostile = "縞 \u202eעברית\u202c e\u0301\u0327 👩\u200d🚀 \U00020bb7 \0 \ud83d \uffff \ufeff" + "\u0301" * 300
    words = Training("Wellen 🌊", "zug", captions=[hostile, "", "\n\t"], caption="ཨོཾ", names=["\ud83d", "", "a"])
    job = trainings.params(tmp_path, t2v_folder, sources, training=words, sample_steps=0)
    result = executor.run(asked(replace(job, request=plan_steps.cleaned(job.request))))
    assert not isinstance(result, Refusal), result.problem.sentence
    assert result.training.clips == 4, "the longer one gives two"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in numbers(result.training.kept[-1].path).values())


@pytest.mark.parametrize("form", ["gguf", "fp8", "16 bit"])
def test_a_model_in_8_bit_is_told_by_its_file_beforehand(t2v_folder, sources, tmp_path, form):
    weights = file_forms.published("transformer", file_forms.weights_of(file_forms.transformer("text")))
    file = tmp_path / ("t.gguf" if form == "gguf" else "t.safetensors")
    if form == "gguf":
        file_forms.write_gguf(file, weights, "Q8_0")
    else:
        whole = file_forms.cast(weights, torch.bfloat16)
        file_forms.write(file, file_forms.scaled_fp8(weights) if form == "fp8" else whole)
    model = LocatedModel(t2v_folder, components={"transformer": file})
    request = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE).request
    problem = training_steps.plan_on_machine(
        replace(request, width=832, height=480), Inventory(lambda _: model)
    ).problem
    if form == "16 bit":
        assert problem is None, problem
    else:
        assert f"{file.name} has" in problem.sentence and "download the model in 16 bit" in problem.sentence


def test_the_next_take_of_the_worker_has_no_lora_on(t2v_folder, sources, tmp_path, executor):
    job = trainings.params(tmp_path, t2v_folder, sources, training=NO_SAMPLE, sample_steps=0)
    executor.run(asked(job))
    request = replace(
        job.request, training=None, sources=[], prompt="fog", length_frames=5, media_folder=str(tmp_path / "takes")
    )
    plan = replace(job.plan, training=None, steps=2, model_frames=5, take_frames=5)
    takes = [
        each.run(asked(replace(job, request=request, plan=plan, job_id=f"{number}" * 32, work_folder="")))
        for number, each in enumerate((executor, silent_executor()))
    ]
    one, other = (sorted(Path(take.take.folder).glob("*.png")) for take in takes)
    assert all(np.array_equal(cv2.imread(str(a)), cv2.imread(str(b))) for a, b in zip(one, other, strict=True))


FAMILIES = [
    ("vace_folder", "embedded"),
    ("vace_folder", "wan2.1-vace-1.3b"),
    ("first_picture_folder", "wan2.1-i2v-14b-480p"),
    pytest.param("first_and_last_folder", "wan2.1-flf2v-14b-720p", marks=pytest.mark.long),
    ("first_latent_folder", "wan2.2-ti2v-5b"),
    ("text_experts_folder", "wan2.2-t2v-a14b"),
    pytest.param("pictures_experts_folder", "wan2.2-i2v-a14b", marks=pytest.mark.long),
    pytest.param("control_experts_folder", "wan2.2-vace-fun-a14b", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("folder", "model"), FAMILIES)
def test_each_of_the_family_is_trained(folder, model, request, sources, executor, tmp_path):
    model_folder = request.getfixturevalue(folder)
    experts = 2 if "experts" in folder else 1
    training = Training("Waves", "zug", caption="waves", sample_prompt="waves")
    short = {"steps": 2, "sample_every": 1, "sample_steps": 1}
    job = trainings.params(tmp_path, model_folder, sources, model, training=training, experts=experts, **short)
    result = executor.run(asked(job))
    assert not isinstance(result, Refusal), result.problem.sentence
    last = Path(result.training.kept[-1].path)
    files = sorted(last.glob("*.safetensors")) if experts > 1 else [last]
    assert [file.name for file in files] == (
        ["Waves_high_noise.safetensors", "Waves_low_noise.safetensors"] if experts > 1 else ["Waves.safetensors"]
    )
    for file, component in zip(files, ("transformer", "transformer_2"), strict=False):
        factors = numbers(str(file))
        assert any(tensor.abs().max() > 0 for key, tensor in factors.items() if "lora_B" in key)
        lora_weights.load(file, shapes(transformer_configs(ComponentFiles(model_folder))[component]))
    assert len(result.training.kept) == 3 and result.training.kept[-1].picture


def test_rounds_give_each_expert_its_steps():
    plan = trainings.params(Path("/x"), Path("/y"), [], steps=5, sample_every=2).plan.training
    turns = [train_job.turn_of(step, plan, ("transformer", "transformer_2")) for step in range(10)]
    assert [(turn.component[-1], turn.step) for turn in turns] == [
        *[("r", 0), ("r", 1), ("2", 0), ("2", 1)],
        *[("r", 2), ("r", 3), ("2", 2), ("2", 3), ("r", 4), ("2", 4)],
    ]
    ends = [done for done in range(1, 11) if train_job.ends_round(done, plan, ("transformer", "transformer_2"))]
    assert ends == [4, 8, 10]
