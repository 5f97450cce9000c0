"""The recipe in miniature: train, resume, put together, load by diffusers, and paint."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKLWan, WanVACEPipeline

from wan_backend.embedded import checkpoint, tasks, text, train_transformer
from wan_backend.embedded.pacing import load_split, save_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    torch.manual_seed(0)
    save_split(folder / "vae", "vae", AutoencoderKLWan(**checkpoint.SMALL_VAE).state_dict(), 2)
    common = ["--vae", str(folder / "vae"), "--minutes", "0.01", "--pool-seconds", "0.01"]
    common += ["--device", "cpu", "--small"]
    train_transformer.main([*common, "--out", str(folder / "one")])
    train_transformer.main([*common, "--out", str(folder / "two"), "--resume", str(folder / "one")])
    return folder


def test_a_run_goes_on_from_what_was_saved(trained):
    one, two = (load_split(sorted((trained / name).glob("*.safetensors"))) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert torch.equal(one["mean"], two["mean"])
    changed = [key for key in one if not torch.equal(one[key], two[key])]
    assert any("shared" in key or "embed_tokens" in key for key in changed)
    assert any("vace_blocks" in key for key in changed)


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


def test_the_whole_checkpoint_is_small_enough():
    with torch.device("meta"):
        painter = train_transformer.Painter(len(text.make_tokenizer()))
        vae = AutoencoderKLWan(**checkpoint.autoencoder.CONFIG)
    weights = [*painter.parameters(), *vae.parameters()]
    assert 2 * sum(weight.numel() for weight in weights) < checkpoint.MOST_BYTES - 500_000


def test_the_loss_falls_on_one_batch():
    torch.manual_seed(0)
    painter = train_transformer.Painter(len(text.make_tokenizer()), small=True)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=3e-3)
    x = torch.randn(2, 16, 2, 4, 4)
    batch = (x, x, torch.zeros_like(x), torch.ones(2, 2), torch.ones(2, text.LONGEST, dtype=torch.long))
    losses = []
    for _ in range(60):
        loss, _ = train_transformer.loss_of(painter, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_every_task_is_trained_on():
    assert set(tasks.CONTROLS) < set(tasks.WEIGHTS)
    assert all(weight > 0 for weight in tasks.WEIGHTS.values())
