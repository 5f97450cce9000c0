"""Reads the tensors of one component out of its file or files, in full precision or as they lie there.

In full precision, fp8 is multiplied by its scale and GGUF's blocks are taken apart by GGUF's own library; the scales
that are for a card's fp8 arithmetic (of the input) are not needed, for that arithmetic isn't used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from ..library import weights_head
from ..library.recognize import FileComponent, TensorSlice
from ..library.survey import TOKENIZER_TENSOR
from ..library.tensor_formats import IN_8_BIT, ScaleGranularity, scale_granularity, scale_of
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile

THREADS = min(16, os.cpu_count() or 1)
PLAIN_GGUF: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "F64": np.dtype("<f8")}


class FileTensors:
    """The tensors of a component, by the names of diffusers or transformers. Made by `opened`."""

    def __init__(self, component: FileComponent, streams: Mapping[Path, Any]) -> None:
        """`streams` has what is open of each of its files."""
        self._component, self._streams = component, streams
        self._heads = {file: weights_head.read_head(file) for file in streams}
        self._stored = component.stored()

    def _file(self, piece: TensorSlice) -> Path:
        return piece.file or self._component.file

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, from the head of the file."""
        piece, shape = self._component.slices[name], self._stored[name].shape
        return (shape[0] // piece.of, *shape[1:]) if piece.of > 1 else shape

    def form(self, name: str) -> str:
        """The number format, as the file names it."""
        return self._stored[name].dtype

    def get(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """The tensor as `dtype` on the CPU. Raises UnusableFile."""
        piece = self._component.slices[name]
        whole = self._gguf(piece) if self._heads[self._file(piece)].is_gguf else self._safetensors(piece)
        if piece.of > 1:
            whole = whole.tensor_split(piece.of)[piece.index]
        return whole.to(dtype).contiguous()

    def blocks(self, name: str) -> torch.Tensor:
        """uint8 (rows, bytes of a row): a GGUF tensor as it lies in the file."""
        source = self._stored[name]
        content = self._bytes(self._component.slices[name], source)
        return torch.from_numpy(content.reshape(source.shape[0], -1).copy())

    def fp8(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A matrix (rows, columns) as it lies in the file, and its scale, float32 (1, 1) or (rows, 1).

        None if `is_fp8` says no. Raises UnusableFile.
        """
        if not is_fp8(self._component, name):
            return None
        piece = self._component.slices[name]
        weight: torch.Tensor = self._streams[self._file(piece)].get_tensor(piece.source)
        scale = self._scale(piece, weight)
        scale = torch.ones(1, 1) if scale is None else scale.reshape(-1, 1)
        if piece.of > 1:
            weight = weight.tensor_split(piece.of)[piece.index].contiguous()
            scale = scale if scale.numel() == 1 else scale.tensor_split(piece.of)[piece.index].contiguous()
        return weight, scale

    def _safetensors(self, piece: TensorSlice) -> torch.Tensor:
        weight: torch.Tensor = self._streams[self._file(piece)].get_tensor(piece.source)
        scale = self._scale(piece, weight)
        return weight if scale is None else weight.float() * scale

    def _scale(self, piece: TensorSlice, weight: torch.Tensor) -> torch.Tensor | None:
        """What the weight is multiplied by, float32, in a shape that does; None if the file has no scale."""
        name = scale_of(self._heads[self._file(piece)], piece.source)
        if name is None:
            return None
        return _spread(self._streams[self._file(piece)].get_tensor(name).float(), weight, name)

    def _gguf(self, piece: TensorSlice) -> torch.Tensor:
        import gguf  # here, for few models need it

        tensor = self._heads[self._file(piece)].tensors[piece.source]
        content = self._bytes(piece, tensor)
        if tensor.dtype in PLAIN_GGUF:
            values = np.frombuffer(content, PLAIN_GGUF[tensor.dtype]).copy()
        elif tensor.dtype == "BF16":
            return torch.from_numpy(content.copy()).view(torch.bfloat16).reshape(tensor.shape)
        else:
            kind = gguf.GGMLQuantizationType[tensor.dtype]
            blocks = content.reshape(-1, gguf.GGML_QUANT_SIZES[kind][1])
            some = np.array_split(blocks, min(len(blocks), THREADS))
            with ThreadPoolExecutor(THREADS) as pool:  # one takes a hundred million numbers a second apart
                values = np.concatenate(list(pool.map(lambda rows: gguf.dequantize(rows, kind), some)))
        return torch.from_numpy(np.ascontiguousarray(values)).reshape(tensor.shape)

    def _bytes(self, piece: TensorSlice, tensor: weights_head.StoredTensor) -> np.ndarray:
        return np.asarray(self._streams[self._file(piece)][tensor.start : tensor.end_exclusive])


@contextmanager
def opened(component: FileComponent) -> Iterator[FileTensors]:
    """The tensors of a component, as long as its files are open. Raises OSError, UnusableFile."""
    with ExitStack() as stack:
        streams: dict[Path, Any] = {}
        for file in component.files:
            if weights_head.read_head(file).is_gguf:
                streams[file] = np.memmap(file, np.uint8, mode="r")
            else:
                streams[file] = stack.enter_context(safe_open(file, framework="pt"))
        yield FileTensors(component, streams)


def tokenizer_model(file: Path) -> bytes:
    """The sentencepiece model that a text encoder's file carries. Raises UnusableFile, OSError."""
    name = next((name for name in weights_head.read_head(file).tensors if name.endswith(TOKENIZER_TENSOR)), None)
    if name is None:
        raise UnusableFile(Sentence("it carries no tokenizer"))
    with safe_open(file, framework="np") as stream:
        return bytes(stream.get_tensor(name).tobytes())


def is_fp8(component: FileComponent, name: str) -> bool:
    """True if the file has that weight as a matrix in fp8 or int8, with one scale, one a row, or (fp8) none."""
    piece = component.slices[name]
    header, source = weights_head.read_head(piece.file or component.file), piece.source
    tensor, scale = header.tensors[source], scale_of(header, source)
    if tensor.dtype not in IN_8_BIT or len(tensor.shape) != 2:
        return False
    if scale is None:
        return tensor.dtype != "I8"
    granularity = scale_granularity(header.tensors[scale].shape, tensor.shape)
    return granularity in (ScaleGranularity.TENSOR, ScaleGranularity.ROW)


def _spread(scale: torch.Tensor, weight: torch.Tensor, name: str) -> torch.Tensor:
    """The scale in a shape that multiplies the weight: one for all, one a row, one a column, or one a block."""
    kind = scale_granularity(tuple(scale.shape), tuple(weight.shape))
    if kind is ScaleGranularity.TENSOR:
        return scale.reshape(())
    if kind is ScaleGranularity.ROW:
        return scale.reshape(-1, *[1] * (weight.ndim - 1))
    if kind is ScaleGranularity.COLUMN:
        return scale
    if kind is ScaleGranularity.BLOCK:
        down, across = scale.shape[:2]
        whole = scale.reshape(down, across).repeat_interleave(weight.shape[0] // down, dim=0)
        return whole.repeat_interleave(weight.shape[1] // across, dim=1)
    raise UnusableFile(
        Sentence(
            "its scale {scale} has the shape {shape}, which this version can't read for a weight of {wanted}",
            scale=name,
            shape=tuple(scale.shape),
            wanted=tuple(weight.shape),
        )
    )
