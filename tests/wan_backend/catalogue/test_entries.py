"""The catalogue is whole, and says so where it is not."""

from __future__ import annotations

import pytest

from wan_backend.catalogue import entries
from wan_backend.planning import sizes
from wan_backend.protocol import ProtocolError
from wan_backend.protocol.messages import Quality, Task

MODELS = entries.load().models.values()
LORAS = entries.load().loras.values()


def changed(find: str, put: str) -> str:
    text = entries.CATALOGUE_FILE.read_text("utf-8")
    assert find in text
    return text.replace(find, put, 1)


def test_the_models_of_this_version_are_there():
    assert list(entries.load().models) == [
        "embedded",
        "wan2.1-vace-1.3b",
        "wan2.1-vace-14b",
        "wan2.1-t2v-1.3b",
        "wan2.1-t2v-14b",
        "wan2.1-i2v-14b-480p",
        "wan2.1-i2v-14b-720p",
        "wan2.1-flf2v-14b-720p",
        "wan2.2-t2v-a14b",
        "bernini-r-1.3b",
        "bernini-r-a14b",
        "wan2.2-vace-fun-a14b",
        "wan2.2-i2v-a14b",
        "wan2.2-ti2v-5b",
        "wan2.1-fun-camera-1.3b",
        "wan2.1-fun-camera-14b",
        "wan2.2-fun-camera-a14b",
        "fastwan2.1-t2v-1.3b",
        "fastwan2.1-vace-1.3b",
        "fastwan2.2-ti2v-5b",
    ]
    assert list(entries.load().autoencoders) == ["taew2_1", "taew2_2"]


def test_a_control_model_does_every_task_but_edits_at_any_length():
    for name in ("embedded", "wan2.1-vace-1.3b", "wan2.1-vace-14b", "wan2.2-vace-fun-a14b"):
        entry = entries.entry(name)
        assert entry.is_control and {*entry.tasks, Task.EDIT} == {*Task} and Task.EDIT not in entry.tasks
        assert all(entry.makes_long(task) for task in Task)
    assert not entries.entry("wan2.1-t2v-1.3b").is_control


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(
        entries.UnknownModel, match=r"there are embedded, wan2\.1-vace-1\.3b, wan2\.1-vace-14b, wan2\.1-t2v-1\.3b"
    ):
        entries.entry("wan3")


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_better_qualities_take_more_steps(entry):
    presets = [entry.preset(quality) for quality in (Quality.DRAFT, Quality.STANDARD, Quality.BEST)]
    steps = [preset.steps for preset in presets]
    distilled = any(preset.timesteps for preset in presets)  # to certain steps, which are all of its qualities
    assert len(set(steps)) == 1 if distilled else steps == sorted(set(steps))


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_each_model_says_what_an_artist_should_know(entry):
    assert entry.notes.endswith(".") and 20 < len(entry.notes) < 200
    assert entry.licence and entry.tasks and set(entry.tasks) <= set(Task)


@pytest.mark.ci
def test_every_sampler_of_the_catalogue_is_there():
    from wan_backend.pipelines.sampling import SAMPLERS, make_scheduler

    assert set(entries.DISTILLED_SAMPLERS) < set(SAMPLERS)
    presets = [entry.preset(quality) for entry in MODELS for quality in Quality]
    presets += [lora.preset for lora in LORAS if lora.preset is not None]
    for preset in presets:
        scheduler = make_scheduler({}, preset.sampler, preset.flow_shift, preset.timesteps, seed=1)
        scheduler.set_timesteps(preset.steps)
        assert len(scheduler.timesteps) == preset.steps and scheduler.timesteps[0] >= 990


@pytest.mark.parametrize("lora", LORAS, ids=lambda lora: lora.id)
def test_each_lora_has_a_base_and_the_settings_that_it_was_made_for(lora):
    for base in lora.bases:
        assert lora in entries.load().loras_of(base)
        used = entries.entry(base).draft_lora == lora.id
        assert used == (lora.preset is not None)
    assert lora.preset is None or lora.preset.guidance_scale == 1.0
    assert lora.notes.endswith(".") and lora.licence


def test_a_model_that_is_put_together_has_the_settings_of_its_trunk():
    put_together = [entry for entry in MODELS if entry.trunk]
    assert [entry.id for entry in put_together] == ["fastwan2.1-vace-1.3b"]
    for entry in put_together:
        trunk = entries.entry(entry.trunk)
        assert {*entry.tasks} == {*Task} - {Task.EDIT} and entry.is_control and not entry.repo
        assert all(entry.preset(quality) == trunk.preset(quality) for quality in Quality)
        assert (entry.frame_rate, entry.sizes, entry.frames) == (trunk.frame_rate, trunk.sizes, trunk.frames)


@pytest.mark.parametrize(("model", "lora"), [
    ("wan2.1-vace-14b", "wan2.1-t2v-14b-4step"), ("wan2.2-vace-fun-a14b", "wan2.2-t2v-a14b-4step")
])  # fmt: skip
def test_drafts_under_control_have_the_lora_of_the_trunk(model, lora):
    entry, known = entries.entry(model), entries.load().loras[lora]
    assert entry.draft_lora == lora and entry.is_control and known.preset.steps == 4
    assert {trunk for trunk in known.bases if not entries.entry(trunk).is_control}


def test_four_steps_at_a_shift_of_five_are_where_lightx2v_has_them():
    for lora in LORAS:
        if lora.repo:
            shifted = [5 * s / (1 + 4 * s) for s in (1.0, 0.75, 0.5, 0.25)]
            assert lora.preset.timesteps == pytest.approx([1000 * sigma for sigma in shifted], abs=1e-3)


def test_the_embedded_models_loras_come_with_it():
    from wan_backend.library.extras import find_lora

    for lora in entries.load().loras_of("embedded"):
        assert [file.is_file() for file in find_lora(lora)] == [True]


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_a_tiny_decoder_is_for_the_models_latents(entry):
    tiny = entries.load().autoencoders.get(entry.tiny_decoder)
    assert (tiny is None) == bool(entry.package_folder)
    if tiny is not None:
        assert 8 * tiny.patch * 2 == entry.multiple and tiny.latents == (48 if entry.multiple == 32 else 16)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_a_download_is_about_as_large_as_its_weights(entry):
    weights = entry.weights
    count = weights.transformer * weights.experts + weights.text_encoder + weights.image_encoder + weights.vae
    assert not entry.repo or 2 * count < entry.download_bytes < 4.05 * count


def test_no_two_entries_are_recognized_by_the_same_marks():
    def marks(entry):
        weights = entry.weights
        return (*entry.pipelines, entry.architecture, weights.layers, weights.heads, weights.experts)

    real = [entry for entry in MODELS if entry.repo]
    assert None not in [entry.architecture for entry in real]
    for entry in real:
        assert entry.twin == (sum(marks(other) == marks(entry) for other in real) > 1)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.id)
def test_every_size_of_a_model_can_be_made(entry):
    for size in entry.sizes:
        made = sizes.snap(entry, size.width, size.height, size.name)
        assert abs(made.width * made.height / (size.width * size.height) - 1) < 0.1


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("frames = [5, 65]", "frames = [5, 64]"),
        ("frames = [5, 65]", "frames = [5]"),
        ("usual_frames = 33", "usual_frames = 69"),
        ("sides = [96, 384]", "sides = [96, 380]"),
        ('default_size = "144p"', 'default_size = "900p"'),
        ('package_folder = "embedded_model/weights"', ""),
        ('id = "wan2.1-t2v-14b"', 'id = "embedded"'),
        ("frame_rate = 16", 'frame_rate = "16"'),
        ('draft_lora = "embedded-draft"', 'draft_lora = "none such"'),
        ('tiny_decoder = "taew2_1"', 'tiny_decoder = "none such"'),
        ('bases = ["embedded"]', 'bases = ["none such"]'),
        ('bases = ["wan2.1-t2v-14b", ', 'bases = ["wan2.2-t2v-a14b", '),
        ('trunk = "fastwan2.1-t2v-1.3b"', 'trunk = "none such"'),
        ('trunk = "fastwan2.1-t2v-1.3b"', ""),
        ('transformer_files = ["diffusion_pytorch_model.safetensors"]', ""),
        ('transformer_files = ["diffusion_pytorch_model.safetensors"]', 'transformer_files = ["a", "b"]'),
        ('package_folder = "embedded_model/loras"', ""),
        ('id = "embedded-blueprint"', 'id = "embedded-draft"'),
        ("timesteps = [1000, 937.5, 833.3333, 625]", "timesteps = [1000, 937.5, 833.3333]"),
        (', sampler = "dmd", timesteps = [1000, 757, 522]', ', sampler = "dmd"'),
        ('sampler = "dmd", timesteps = [1000, 757, 522]', 'sampler = "unipc", timesteps = [1000, 757, 522]'),
        ("\n[[model]]", "\n[[model]"),
    ],
)
def test_a_wrong_catalogue_is_refused(find, put):
    with pytest.raises((ValueError, ProtocolError)):
        entries.parse_catalogue(changed(find, put))


@pytest.mark.parametrize(
    ("find", "put", "named"),
    [
        ('"text_to_video"', '"text_to_movie"', "model embedded.tasks"),
        ('sampler = "dmd"', 'sampler = "dmt"', ".sampler must be one of unipc, euler"),
    ],
)
def test_a_wrong_word_is_named_with_its_place(find, put, named):
    with pytest.raises(ProtocolError) as refused:
        entries.parse_catalogue(changed(find, put))
    assert named in refused.value.message
