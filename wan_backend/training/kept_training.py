"""How far a training is, on disk: the adapters, the optimizer, and what was seen of the loss.

Each step's clip, time and noise come from its number (`noising`), so this is all that the next step needs.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..protocol import shallow_json
from ..storage import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
HEAD = "training"


@dataclass
class TrainingState:
    """Everything that the next step needs, on the CPU."""

    step: int = 0
    """Steps made, of all transformers together."""
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """What `AdapterOptimizer.state` gave, for each transformer that was trained so far."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The loss so far and the LoRAs that are kept, as plain values."""

    def write(self, file: Path, fingerprint: str) -> None:
        """Put it there; a kill at any moment leaves the old file or the whole new one. Raises OSError."""
        head = {"format": FORMAT, "fingerprint": fingerprint, "step": self.step, "facts": self.facts}
        flat = {f"{part}/{name}": tensor for part, named in self.tensors.items() for name, tensor in named.items()}
        unfinished = file.with_name(f"{file.name}{whole_file.UNFINISHED_SUFFIX}")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(flat, unfinished, {HEAD: json.dumps(head)})
            with open(unfinished, "rb+") as stream:
                os.fsync(stream.fileno())
            whole_file.replace(unfinished, file)
        except SafetensorError as error:
            unfinished.unlink(missing_ok=True)
            raise _of_disk(error, file) from error
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, file: Path, fingerprint: str) -> TrainingState | None:
        """What was written there under the same fingerprint; None, with the reason in the log, if it's of no use."""
        try:
            with safe_open(file, framework="pt") as stream:
                head = shallow_json.parsed(stream.metadata()[HEAD])
                if head["format"] != FORMAT or head["fingerprint"] != fingerprint:
                    raise ValueError("it is of another request, model or version")
                tensors: dict[str, dict[str, Tensor]] = {}
                for key in stream.keys():  # noqa: SIM118 - it is no dict
                    part, _, name = key.partition("/")
                    tensors.setdefault(part, {})[name] = stream.get_tensor(key)
            return cls(int(head["step"]), tensors, dict(head["facts"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.info("what is kept in %s is of no use, so the training begins anew: %s", file, error)
            return None


def _of_disk(error: SafetensorError, file: Path) -> OSError:
    """The error of the system that safetensors tells of in words."""
    number = re.search(r"os error (\d+)", str(error))
    code = int(number[1]) if number else errno.EIO
    return OSError(code, os.strerror(code), str(file))
