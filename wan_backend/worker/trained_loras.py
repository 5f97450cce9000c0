"""The folder of a training among a person's LoRAs: the finished LoRA, the last few before it, and its samples.

<folder of LoRAs>/<name>/
    <name>.safetensors              the finished one; a pair for a model with two experts
    step 000250/<name> 000250.safetensors ...
    samples/000250.jpg, without.jpg
    training.json                   whose it is, and its settings: no paths, no captions
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..protocol.messages import KEPT_LORAS, TrainedLora
from ..storage import private_files, whole_file
from ..training import lora_file
from .preview_file import encode_jpeg

SETTINGS_FILE, SAMPLES_FOLDER, WITHOUT_FILE = "training.json", "samples", "without.jpg"
NAME_TRIES = 1000


class TrainedLoras:
    """What a training has brought so far, on the disk."""

    def __init__(self, loras_folder: Path, name: str, job_id: str, kept: list[TrainedLora]) -> None:
        """`kept` are those that an earlier try has left."""
        self.name, self._job_id = name, job_id
        self.folder = self._choose(loras_folder, name)
        self.kept = [lora for lora in kept if Path(lora.path).exists()]

    def _choose(self, loras_folder: Path, name: str) -> Path:
        """The folder of this training: one of that name that is its own, or a new one."""
        for number in range(1, NAME_TRIES):
            folder = loras_folder / (name if number == 1 else f"{name} {number}")
            if not os.path.lexists(folder) or self._is_own(folder):  # a link to nothing takes the name, too
                return folder
        raise FileExistsError(17, "Each name that was tried is taken", str(loras_folder / name))

    def _is_own(self, folder: Path) -> bool:
        with contextlib.suppress(OSError, ValueError):
            settings = whole_file.read_json(folder / SETTINGS_FILE)
            return isinstance(settings, dict) and settings.get("job_id") == self._job_id
        return False

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Make the folder. Raises OSError."""
        private_files.make_open_folder(self.folder)
        whole_file.write_json(self.folder / SETTINGS_FILE, {"format": 1, "job_id": self._job_id, **settings})

    def keep(
        self, step: int, factors: Mapping[str, Mapping[str, Tensor]], head: Mapping[str, str], picture: str
    ) -> None:
        """Keep the LoRA of that step, and only the last few. Raises OSError."""
        folder = self.folder / f"step {step:06d}"
        path = self._write(folder, f"{self.folder.name} {step:06d}", factors, head)
        self.kept = [*(lora for lora in self.kept if lora.step != step), TrainedLora(step, str(path), picture)]
        for old in self.kept[:-KEPT_LORAS]:
            shutil.rmtree(self.folder / f"step {old.step:06d}", ignore_errors=True)
            if old.picture:
                Path(old.picture).unlink(missing_ok=True)
        self.kept = self.kept[-KEPT_LORAS:]

    def finish(self, step: int, factors: Mapping[str, Mapping[str, Tensor]], head: Mapping[str, str]) -> None:
        """Put the finished LoRA beside the last few. Raises OSError."""
        path = self._write(self.folder, self.folder.name, factors, head)
        last = next((lora for lora in self.kept if lora.step == step), TrainedLora(step, ""))
        self.kept = [*self.kept, replace(last, path=str(path))]

    def _write(
        self, folder: Path, name: str, factors: Mapping[str, Mapping[str, Tensor]], head: Mapping[str, str]
    ) -> Path:
        """What `LoraUse.path` takes for it."""
        private_files.make_open_folder(folder)
        if len(factors) == 1:
            (only,) = factors.values()
            file = folder / f"{name}.safetensors"
            lora_file.write(file, only, head)
            return file
        for component, named in factors.items():
            lora_file.write(folder / f"{name}{lora_file.ENDINGS[component]}.safetensors", named, head)
        return folder

    def show(self, step: int, pictures: np.ndarray) -> str:
        """Keep a sample's picture, (H, W, 3); that without the LoRA has the step -1. Its path; empty if it can't be."""
        file = self.folder / SAMPLES_FOLDER / (WITHOUT_FILE if step < 0 else f"{step:06d}.jpg")
        private_files.make_open_folder(file.parent)
        whole_file.write(file, encode_jpeg(pictures))
        return str(file)
