"""A folder that looks like a whole model, of a few bytes, for tests that load nothing."""

from __future__ import annotations

import json
import struct
from pathlib import Path

COMPONENTS = {
    "text_encoder": ("transformers", "UMT5EncoderModel", "model.safetensors"),
    "transformer": ("diffusers", "WanTransformer3DModel", "diffusion_pytorch_model.safetensors"),
    "vae": ("diffusers", "AutoencoderKLWan", "diffusion_pytorch_model.safetensors"),
}


def write(folder: Path, pipeline: str = "WanVACEPipeline", layers: int = 2, heads: int = 2) -> Path:
    """Write it; `layers` and `heads` go into the transformer's config."""
    index = {
        "_class_name": pipeline,
        "boundary_ratio": None,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer_2": [None, None],
    }
    for component, (library, kind, weights) in COMPONENTS.items():
        vace = component == "transformer" and pipeline == "WanVACEPipeline"
        index[component] = [library, "WanVACETransformer3DModel" if vace else kind]
        (folder / component).mkdir(parents=True)
        config = {"num_layers": layers, "num_attention_heads": heads} if component == "transformer" else {}
        (folder / component / "config.json").write_text(json.dumps(config))
        (folder / component / weights).write_bytes(safetensors())
    for name in ("scheduler/scheduler_config.json", "tokenizer/tokenizer.json"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("{}")
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def safetensors(values: int = 16, **notes: str) -> bytes:
    """A whole safetensors file of that many 32 bit numbers, with what its maker notes."""
    rows = {"a": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}
    header = json.dumps({**rows, **({"__metadata__": notes} if notes else {})}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * values)
