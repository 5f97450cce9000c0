"""The model that stays in memory between jobs, with what the jobs before have left."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..loading import devices, matrix_products
from ..loading.matrix_products import EightBitProduct, MatrixWidth
from ..loading.wan_model import WanModel
from ..pipelines.preparation import PreparationCache
from ..pipelines.prompt_encoding import PromptFiles
from ..protocol.media import KERNELS_FILE, PROMPTS_FOLDER
from ..protocol.messages import MatrixPrecision, RunParams
from .progress import MeasuredPace


@dataclass
class WarmModel:
    """The model that stays in memory between jobs, and what is worth keeping of the jobs before."""

    model: WanModel
    cache: PreparationCache = field(default_factory=PreparationCache)
    pace: MeasuredPace = field(default_factory=MeasuredPace)

    def keep_prompts(self, params: RunParams) -> None:
        """Have the embeddings of prompts kept on the disk, in the job's state folder if it has one."""
        folder = Path(params.state_folder, PROMPTS_FOLDER) if params.state_folder else None
        encoder = self.model.fingerprint("text_encoder")
        self.cache.prompts.files = None if folder is None else PromptFiles(folder, encoder)

    def choose_matrices(self, params: RunParams) -> EightBitProduct | None:
        """Have the model's matrices multiplied in 8 bit if that is planned and faster on the card, else exactly.

        Returns what multiplies in 8 bit. A transformer that is in memory in another form is dropped.
        """
        product = None
        if params.plan.matrix_precision is MatrixPrecision.FAST_8_BIT:
            width = MatrixWidth.of(self.model.config("transformer"), self.model.precision.transformer)
            product = matrix_products.choose_for(self.model.device, width, findings_of(params))
        self.model.matrix_product = product
        return product


def findings_of(params: RunParams) -> Path | None:
    """The file in which the results of kernel trials are kept."""
    return Path(params.state_folder, KERNELS_FILE) if params.state_folder else None


def model_for(params: RunParams, before: WanModel | None) -> WanModel:
    """The model of the job: `before` where that is it, else a new one, with what the two have in common in memory.

    Raises Refusal, and then `before` is as it was.
    """
    device, folder = devices.choose(params.device), Path(params.model_folder)
    components: dict[str, Path] = {each.part: Path(each.place) for each in params.model_parts}
    same = before is not None and before.component_files.is_at(folder, components) and before.device == device
    if before is not None and same and before.unchanged():
        return before
    copies = Path(params.copies_folder) if params.copies_folder else None
    model = WanModel(folder, device, components=components, copies=copies)
    if before is not None:
        model.take_over(before)
    return model
