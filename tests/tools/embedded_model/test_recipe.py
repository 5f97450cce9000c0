"""The recipe in miniature: train, resume, put together, load by diffusers, and paint."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKLWan, WanVACEPipeline
from safetensors.torch import load_file

from tools.embedded_model import (
    checkpoint,
    draft_takes,
    low_rank,
    prompts,
    scenes,
    tasks,
    text,
    train_lora,
    train_transformer,
)
from tools.embedded_model.latent_pool import Coder, near_the_shape
from tools.embedded_model.pacing import load_split, save_split
from wan_backend.bench import tiny_checkpoint
from wan_backend.catalogue import entries


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    torch.manual_seed(0)
    save_split(folder / "vae", "vae", AutoencoderKLWan(**checkpoint.SMALL_VAE).state_dict(), 2)
    common = ["--vae", str(folder / "vae"), "--minutes", "0.01", "--pool-seconds", "0.01"]
    common += ["--device", "cpu", "--small"]
    train_transformer.main([*common, "--out", str(folder / "one")])
    rest = ["--resume", str(folder / "one"), "--keep", "vace_blocks.*ffn"]
    train_transformer.main([*common, "--out", str(folder / "two"), *rest])
    return folder


def test_a_run_goes_on_from_what_was_saved(trained):
    one, two = (load_split(sorted((trained / name).glob("*.safetensors"))) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert torch.equal(one["mean"], two["mean"])
    changed = [key for key in one if not torch.equal(one[key], two[key])]
    assert any("shared" in key or "embed_tokens" in key for key in changed)
    assert any("vace_blocks" in key for key in changed)
    assert not any("vace_blocks" in key and "ffn" in key for key in changed)


def test_the_checkpoint_loads_by_diffusers_and_paints(trained):
    folder = trained / "weights"
    parts = ["--vae", str(trained / "vae"), "--transformer", str(trained / "two"), "--small"]
    assert checkpoint.main([str(folder), *parts]) == 0
    pipeline = WanVACEPipeline.from_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["transformer"] == ["diffusers", "WanVACETransformer3DModel"]
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline("a red ball", height=32, width=48, num_frames=5, num_inference_steps=2, output_type="np").frames
    assert frames.shape == (1, 5, 32, 48, 3)
    assert len(set(pipeline.vae.config.latents_mean)) == 16


def test_of_two_runs_the_checkpoint_holds_the_mean(trained):
    folder = trained / "mean"
    runs = [trained / name for name in ("one", "two")]
    parts = ["--vae", str(trained / "vae"), "--transformer", *map(str, runs), "--small"]
    assert checkpoint.main([str(folder), *parts]) == 0
    one, two = (load_split(sorted(run.glob("*.safetensors"))) for run in runs)
    mean = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    moved = [key for key in mean if not torch.equal(one[key].bfloat16(), two[key].bfloat16())]
    assert moved
    for key in mean:
        assert torch.equal(mean[key], ((one[key] + two[key]) / 2).bfloat16())


def test_the_whole_checkpoint_is_small_enough():
    with torch.device("meta"):
        painter = train_transformer.Painter(len(text.make_tokenizer()))
        vae = AutoencoderKLWan(**checkpoint.autoencoder.CONFIG)
    weights = [*painter.parameters(), *vae.parameters()]
    assert 2 * sum(weight.numel() for weight in weights) < checkpoint.MAX_BYTES - 500_000


def test_the_loss_falls_on_one_batch():
    torch.manual_seed(2)
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    x = torch.randn(2, 16, 2, 4, 4)
    near = torch.zeros(2, 1, 2, 4, 4)
    near[:, :, :, :2] = 1
    batch = (x, x, x, torch.zeros_like(x), torch.ones(2, 2), near, torch.ones(2, text.LONGEST, dtype=torch.long))
    losses = []
    for _ in range(60):
        loss, _ = train_transformer.loss_of(painter, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_painter_that_finds_its_way_back_to_the_clip_has_no_loss():
    """Wherever a noisy clip leans, and however little noise there is."""
    torch.manual_seed(0)
    x, astray = torch.randn(2, 64, 16, 1, 2, 2)
    seen = []

    class Foreseeing:
        def __init__(self, clip):
            self.clip = clip

        def velocity(self, noisy, sigma, control, ids):
            seen.append(noisy)
            return (noisy - self.clip) / sigma.view(-1, 1, 1, 1, 1)

    def losses(clip, leaning_to):
        torch.manual_seed(1)
        blank, ones, near = torch.zeros_like(x), torch.ones(64, 1), torch.zeros(64, 1, 1, 2, 2)
        return train_transformer.loss_of(Foreseeing(clip), x, leaning_to, blank, blank, ones, near, ones)

    assert max(*losses(x, x), *losses(x, astray)) < 1e-6
    assert (seen[0] - seen[1]).abs().max() > 0.5, "no clip leaned"
    to_learn, shown = losses(astray, astray)
    assert to_learn - shown == pytest.approx(train_transformer.ASTRAY_WEIGHT, rel=1e-3)  # all the way to the other


def test_the_surroundings_of_the_shape_are_found_at_the_size_of_latents():
    masks = torch.zeros(1, 1, 9, 48, 64)
    masks[:, :, 3, 16:24, 24:32] = 1
    near = near_the_shape(masks)
    assert near.shape == (1, 1, 3, 6, 8)
    assert near[0, 0, :, 3].sum(1).tolist() == [0, 3, 0]  # frame 3 is of the second latent; its cell and both beside it
    assert near.sum() == 9


def test_clips_that_words_alone_describe_are_coded_in_another_colour_shape_or_place_too():
    tokenizer = text.make_tokenizer()
    vae = AutoencoderKLWan(**checkpoint.SMALL_VAE)
    made = Coder(vae, tokenizer, "cpu", seed=3).batch((5, 32, 48), 24)
    led = (made["astray"] != made["x"]).flatten(1).any(1)
    assert 0 < led.sum() < 24
    colors = {word for words in prompts.COLOUR_WORDS.values() for word in words}
    shapes = {word for words in prompts.SHAPE_WORDS.values() for phrase in words for word in phrase.split()}
    for row in led.nonzero().flatten().tolist():
        assert made["mask"][row].all(), "something of it is kept"
        for ids in made["ids"][row]:
            said = set(tokenizer.decode(ids.tolist()).lower().split())
            assert colors & said
            assert shapes & said


def test_no_clip_goes_astray_for_a_run_that_does_not_look():
    vae = AutoencoderKLWan(**checkpoint.SMALL_VAE)
    made = Coder(vae, text.make_tokenizer(), "cpu", seed=3, led=False).batch((5, 32, 48), 24)
    assert torch.equal(made["astray"], made["x"])


def test_another_clip_is_never_of_words_held_out_and_another_place_only_half_the_way():
    coder = Coder(AutoencoderKLWan(**checkpoint.SMALL_VAE), text.make_tokenizer(), "cpu", seed=3)
    seen = set()
    for scene in scenes.sample_scenes(5, 300):
        other, share = coder._altered(scene)
        differ = [name for name in ("colour", "shape", "x") if getattr(other, name) != getattr(scene, name)]
        assert len(differ) == 1
        assert share == (0.5 if differ == ["x"] else 1.0)
        assert not scenes.is_held_out(other.words)
        seen.update(differ)
    assert seen == {"colour", "shape", "x"}


def test_every_task_is_trained_on():
    assert set(tasks.CONTROLS) < set(tasks.WEIGHTS)
    assert all(weight > 0 for weight in tasks.WEIGHTS.values())


@pytest.mark.parametrize("kind", ["style", "draft"])
def test_a_lora_is_saved_with_the_keys_of_the_transformer(trained, kind):
    file = trained / f"{kind}.safetensors"
    folders = ["--vae", str(trained / "vae"), "--transformer", str(trained / "two")]
    rest = ["--minutes", "0.0001", "--pool-seconds", "0.01", "--take-seconds", "0.01", "--device", "cpu", "--small"]
    train_lora.main([kind, str(file), *folders, *rest])
    state = load_file(file)
    modules = dict(train_transformer.Painter(len(text.make_tokenizer()), small=True).named_modules())
    for key, weight in state.items():
        name, side = key.removesuffix(".weight").rsplit(".", 1)
        linear = modules[name]
        expected = linear.in_features if side == "lora_A" else linear.out_features
        assert weight.shape[1 if side == "lora_A" else 0] == expected
    assert any(weight.abs().max() > 0 for key, weight in state.items() if "lora_B" in key)


def test_diffusers_loads_the_lora_whole(trained, tmp_path):
    pytest.importorskip("peft")
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    layers = low_rank.attach(painter.transformer, 2)
    low_rank.save(layers, tmp_path / "lora.safetensors")
    parts = sorted((trained / "vae").glob("*.safetensors"))
    pipeline = checkpoint.assemble(parts, [trained / "two"], small=True)
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors", adapter_name="style")
    assert pipeline.get_list_adapters() == {"transformer": ["style"]}
    loaded = [name for name, _ in pipeline.transformer.named_parameters() if "lora_A" in name]
    assert len(loaded) == len(layers)


def test_a_lora_changes_nothing_at_first_and_nothing_once_its_change_is_taken_back():
    torch.manual_seed(0)
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    given = (torch.randn(1, 16, 2, 4, 4), torch.tensor([0.5]), torch.randn(1, 96, 2, 4, 4), torch.ones(1, 4).long())
    with torch.no_grad():
        plain = painter.velocity(*given)
        layers = low_rank.attach(painter.transformer, 2)
        assert torch.equal(painter.velocity(*given), plain)
        for layer in layers.values():
            layer.lora_B.weight.add_(0.1)
        assert not torch.allclose(painter.velocity(*given), plain)
        for layer in layers.values():
            layer.lora_B.weight.zero_()
        assert torch.equal(painter.velocity(*given), plain)


@pytest.mark.parametrize(("kind", "most_bytes"), [("style", 1_000_000), ("draft", 2_000_000)])
def test_the_loras_are_small_enough(kind, most_bytes):
    transformer = train_transformer.Painter(len(text.make_tokenizer())).transformer
    layers = low_rank.attach(transformer, train_lora.RANKS[kind])
    numbers = sum(layer.lora_A.weight.numel() + layer.lora_B.weight.numel() for layer in layers.values())
    assert 2 * numbers < most_bytes - 50_000


def test_a_sampler_written_out_steps_as_diffusers_does():
    torch.manual_seed(0)
    scheduler = tiny_checkpoint.make_scheduler()
    scheduler.set_timesteps(draft_takes.STEPS)
    noise, *velocities = torch.randn(draft_takes.STEPS + 1, 1, 16, 2, 4, 4)
    times, shares = draft_takes.sampled(draft_takes.STEPS)
    assert times == pytest.approx([float(timestep) / 1000 for timestep in scheduler.timesteps])
    x = noise
    for step, timestep in enumerate(scheduler.timesteps):
        x = scheduler.step(velocities[step], timestep, x, return_dict=False)[0]
        assert torch.allclose(draft_takes.led_to(noise, velocities[: step + 1], shares[step]), x, atol=1e-4)


def test_what_a_draft_learns_from_is_the_standard_take():
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    ids, null_ids = (text.tokenize(text.make_tokenizer(), [words]) for words in ("a red ball", ""))
    noise, control = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 96, 2, 4, 4)
    scheduler = tiny_checkpoint.make_scheduler()
    scheduler.set_timesteps(draft_takes.STEPS)
    x = noise
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            said, unsaid = (painter.velocity(x, timestep[None] / 1000, control, each) for each in (ids, null_ids))
            guided = unsaid + draft_takes.GUIDANCE_SCALE * (said - unsaid)
            x = scheduler.step(guided, timestep, x, return_dict=False)[0]
    assert torch.allclose(draft_takes.standard(painter, noise, control, ids, null_ids), x, atol=1e-4)


def test_a_draft_that_comes_to_the_standard_take_misses_nothing_and_all_of_its_steps_learn(monkeypatch):
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    noise, clip = torch.randn(2, 1, 16, 2, 4, 4)
    given = (torch.zeros(1, 16, 2, 4, 4), torch.zeros(1, 16, 2, 4, 4), torch.zeros(1, 2), torch.ones(1, 4).long())
    monkeypatch.setattr(painter, "velocity", lambda x, sigma, control, ids: noise - clip)
    assert draft_takes.loss_of(painter, noise, clip, *given)[1] < 1e-4
    loss, missed = draft_takes.loss_of(painter, noise, clip + 1, *given)
    assert float(missed) == pytest.approx(1, abs=0.05) and float(loss) == pytest.approx(float(missed.log()), abs=0.01)
    said = [torch.randn_like(noise).requires_grad_() for _ in range(draft_takes.DRAFT_STEPS)]
    velocities = iter(said)
    monkeypatch.setattr(painter, "velocity", lambda x, sigma, control, ids: next(velocities))
    draft_takes.loss_of(painter, noise, clip, *given)[0].backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in said)


def test_a_draft_learns_the_catalogues_standard():
    entry, lora = entries.entry("embedded"), entries.load().loras["embedded-draft"]
    assert (entry.standard.steps, entry.standard.guidance_scale) == (draft_takes.STEPS, draft_takes.GUIDANCE_SCALE)
    assert (lora.preset.steps, lora.preset.guidance_scale) == (draft_takes.DRAFT_STEPS, 1.0)
    assert {lora.preset.sampler, entry.standard.sampler} == {"unipc"}
    assert lora.preset.flow_shift == entry.standard.flow_shift == tiny_checkpoint.make_scheduler().config.flow_shift
