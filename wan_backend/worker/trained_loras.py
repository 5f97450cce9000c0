"""What a training has brought: the finished LoRA, the last few before it, and its samples (storage.training_folder)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..protocol.messages import KEPT_LORAS, TrainedLora
from ..storage import private_files, training_folder, whole_file
from ..storage.training_folder import SAMPLES_FOLDER, WITHOUT_FILE
from ..training import lora_file
from .preview_file import encode_jpeg


class TrainedLoras:
    """What a training has brought so far, on the disk."""

    def __init__(self, loras_folder: Path, name: str, job_id: str, kept: list[TrainedLora]) -> None:
        """`kept` are those that an earlier try has left."""
        self.name, self._job_id, self._loras_folder = name, job_id, loras_folder
        self._settings: Mapping[str, Any] = {}
        self.folder = loras_folder / name
        """Its own once it has begun, maybe with a number behind the name."""
        self.kept = [lora for lora in kept if Path(lora.path).exists()]

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Find the folder, or make it. Raises OSError."""
        self._settings = settings
        self.folder = training_folder.claim(self._loras_folder, self.name, self._job_id, settings)

    def keep(
        self, step: int, factors: Mapping[str, Mapping[str, Tensor]], head: Mapping[str, str], picture: str
    ) -> None:
        """Keep the LoRA of that step, and only the last few. Raises OSError."""
        self._have_folder()
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
        self._have_folder()
        path = self._write(self.folder, self.folder.name, factors, head)
        last = next((lora for lora in self.kept if lora.step == step), TrainedLora(step, ""))
        self.kept = [*self.kept, replace(last, path=str(path))]

    def _have_folder(self) -> None:
        """A person may have removed it meanwhile, or have put another in its place."""
        if not training_folder.is_of(self.folder, self._job_id):
            self.begin(self._settings)

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
