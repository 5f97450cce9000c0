"""The painter that skipped work is measured with: its exact takes are those of diffusers' own pipeline."""

from __future__ import annotations

import argparse

import pytest
import torch
from diffusers import WanVACEPipeline

from tools.embedded_model import measures, skipped_work, tasks
from tools.embedded_model.evaluate import WEIGHTS
from tools.embedded_model.painting import painter_of
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.denoise import ALL_WORK, SkippedWork
from wan_backend.pipelines.guidance_interval import GuidedSteps
from wan_backend.planning.calibrations import Branch

SIZE = {"frames": 9, "height": 96, "width": 96}
PROMPT = "a red circle moves left over grass"


@pytest.fixture(scope="module")
def paint():
    model = WanModel(WEIGHTS, torch.device("cpu"))
    return skipped_work.ProductPainter(model, **SIZE, steps=2, guidance_scale=1.5, flow_shift=3.0)


@pytest.mark.parametrize("shown", [False, True])
def test_exact_takes_are_those_of_diffusers(paint, shown):
    condition = None
    if shown:
        clip = torch.rand(1, 3, 9, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
        mask = tasks.mask_of(9, 5, 0)
        kept = clip * (1 - mask).view(1, 1, -1, 1, 1)
        condition = tasks.Condition(kept, clip - kept, mask[None])
    pipeline = WanVACEPipeline.from_pretrained(WEIGHTS, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = painter_of(pipeline, **SIZE, steps=2, guidance_scale=1.5)(PROMPT, 3, condition)
    paint.skipped = ALL_WORK
    assert measures.psnr(paint(PROMPT, 3, condition), theirs) > 45 and paint.forwards == 4
    paint.skipped, paint.psnrs = SkippedWork(GuidedSteps(0, 1)), []
    paint(PROMPT, 3, condition)
    assert paint.forwards == 3 and 15 < paint.psnrs[0] < 99


def test_every_technique_is_named_with_what_it_skips():
    options = argparse.Namespace(steps=10, guidance=["0:0.5"], cache=["0.1:1"], both=True)
    ratios = {branch: [1.0] * 10 for branch in Branch}
    found = dict(skipped_work.techniques(options, ratios))
    first, second, last = found
    assert (first, last) == ("guidance in steps 0 to 4", "both")
    assert found["both"].guided == GuidedSteps(0, 5) and found["both"].cached.skips(Branch.PROMPT, 2)
    assert "prompt [2, 4, 6, 8]" in second and found[second].guided is None
