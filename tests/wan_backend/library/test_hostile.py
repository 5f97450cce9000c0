"""One bad file is one refused row, whatever is wrong with it, and the good one beside it is found."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import heads_only, hostile, tiny_folder
from wan_backend.catalogue import entries
from wan_backend.library import extras, locate, survey, weights_head
from wan_backend.lora import lora_head
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.downloads import DownloadState, DownloadStatus
from wan_backend.protocol.messages import LoraUse
from wan_backend.server import diagnosis
from wan_backend.server.download_records import DownloadRecords, Record
from wan_backend.server.planner import Planner
from wan_backend.storage import guarded_files

SMALL = entries.entry("wan2.1-t2v-1.3b")
LORA = next(lora for lora in entries.load().loras.values() if lora.repo)
BAD: dict[str, tuple[str, Any]] = {
    **{f"safetensors, {name}": ("bad.safetensors", content) for name, content in hostile.SAFETENSORS.items()},
    **{f"GGUF, {name}": ("bad.gguf", content) for name, content in hostile.GGUF.items()},
    **{name: ("bad.safetensors", make) for name, make in hostile.STRANGE.items()},
}
JSON = {
    "nothing": b"", "no JSON": b"{", "a list": b"[1, [2]]", "a number": b"1e999", "null": b"null", "text": b'"x"',
    "nested too deeply": b"[" * 500_000, "half a character": b'{"\\ud800": "\\udfff"}', "no text": b"\xff\xfe",
    "numbers that are none": b'{"num_layers": 1e999, "num_attention_heads": NaN, "z_dim": Infinity}',
    "a number of 4,000 digits": b'{"num_layers": ' + b"9" * 4000 + b', "num_attention_heads": -1}',
    "a number of 9,000 digits": b'{"num_layers": ' + b"9" * 9000 + b"}",
    "kinds that are no words": b'{"_class_name": ["x"], "architectures": {"a": 1}}',
    "a kind, and nonsense": b'{"_class_name": "WanTransformer3DModel", "in_channels": "x", "out_channels": [1]}',
    "a kind, and too much": b'{"_class_name": "WanTransformer3DModel", "in_channels": 1e999, "num_layers": 1e999}',
    "parts that are none": b'{"_class_name": "WanPipeline", "transformer": [[], {}], "vae": ["a", "../../.."]}',
    "names that are none": b'{"weight_map": {"a": ["x"], "b": {}, "c": 5, "d": "\\u0000", "e": "\\ud800"}}',
}  # fmt: skip
"""What may stand in a model's configuration."""


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(file: Path, bad: Any) -> Path:
    """Put a file's content there, or whatever else it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if callable(bad):
        bad(file)
    else:
        file.write_bytes(bad)
    return file


def good_vae(folder: Path) -> Path:
    return heads_only.write(folder / "good" / "vae.safetensors", heads_only.vae())


def write_small(folder: Path) -> Path:
    return tiny_folder.write(folder, "WanPipeline", layers=30, heads=12)


@pytest.mark.parametrize("name", BAD)
def test_in_a_models_folder(tmp_path, name):
    good, (called, content) = good_vae(tmp_path / "models"), BAD[name]
    bad = put(tmp_path / "models" / called, content)
    found = survey.survey([tmp_path / "models"])
    assert [candidate.path for candidate in found.of("vae")] == [good]
    rows = [row for row in found.files if row.file == bad]
    assert len(rows) == (0 if bad.is_dir() else 1)
    assert all(row.why and not row.components for row in rows), rows
    assert survey.survey([tmp_path / "models"]) == found, "a second look tells the same"


@pytest.mark.parametrize("name", BAD)
def test_as_a_lora_and_as_an_extra(tmp_path, name):
    called, content = BAD[name]
    bad = put(tmp_path / called, content)
    made = Planner([], None).plan(take_request(str(tmp_path), model="embedded", loras=[LoraUse(str(bad))]))
    assert made.problem is not None and made.problem.kind == "bad_lora" and made.problem.sentence.endswith(".")
    for file in LORA.files:
        put(tmp_path / "first" / "loras" / file, content)
        put(tmp_path / "second" / "loras" / file, tiny_folder.safetensors())
    both = [tmp_path / "first", tmp_path / "second"]
    assert extras.find(LORA, both[:1]) == []
    assert extras.find(LORA, both) == [tmp_path / "second" / "loras" / file for file in LORA.files]


@pytest.mark.parametrize("name", [*JSON, *hostile.STRANGE])
@pytest.mark.parametrize("place", ["model_index.json", "transformer/config.json", "vae/config.json", "*.index.json"])
def test_in_a_models_own_folder(tmp_path, empty_cache, name, place):
    content = JSON.get(name) or hostile.STRANGE.get(name, b"")
    places = [tmp_path / "models" / SMALL.id, empty_cache / f"models--{SMALL.repo.replace('/', '--')}/snapshots/abc"]
    for folder in places:
        write_small(folder)
        file = folder / place.replace("*", "transformer/diffusion_pytorch_model.safetensors")
        file.unlink(missing_ok=True)
        put(file, content)
    write_small(tmp_path / "other" / SMALL.id)
    good = good_vae(tmp_path / "other")
    assert isinstance(locate.find(SMALL, [tmp_path / "models"]), locate.UnavailableModel | locate.LocatedModel)
    whole = locate.find(SMALL, [tmp_path / "models", tmp_path / "other"])
    assert isinstance(whole, locate.LocatedModel)
    planner = Planner([str(tmp_path / "models"), str(tmp_path / "other")], None)
    found = planner.library.refresh()
    assert [candidate.path for candidate in found.of("vae")] == [good]
    assert {row.model: row.here for row in planner.rows()}[SMALL.id] and planner.extra_rows()


@pytest.mark.parametrize("name", [*JSON, *hostile.STRANGE])
def test_beside_a_depth_model_and_a_record_of_a_download(tmp_path, name):
    content = JSON.get(name) or hostile.STRANGE.get(name, b"")
    put(tmp_path / "models" / "a" / "config.json", content)
    put(tmp_path / "models" / "b" / "config.json", b'{"architectures": ["DepthAnythingForDepthEstimation"]}')
    assert extras.find_depth_model(tmp_path / "models" / "video") == tmp_path / "models" / "b"
    record = Record(DownloadStatus(SMALL.id, DownloadState.RUNNING))
    put(tmp_path / "downloads" / "a.json", content)
    put(tmp_path / "downloads" / "b.json", json.dumps(to_json(record)).encode())
    found = DownloadRecords(tmp_path / "downloads").read()
    assert [row.status.state for row in found.values()] == ["paused"]


def test_heads_changed_at_random_are_read_or_refused(tmp_path):
    rows = {
        "__metadata__": {"format": "pt"},
        "a.lora_A.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    }
    values = (
        (b"general.alignment", hostile.number(4) + hostile.number(32)),
        (hostile.SHAPE, hostile.number(9) + hostile.number(4) + struct.pack("<QII", 2, 4, 4)),
        (b"s", hostile.number(9) + hostile.number(8) + struct.pack("<Q", 2) + hostile.text(b"a") + hostile.text(b"b")),
    )
    seeds = {
        "x.safetensors": hostile.framed(json.dumps(rows).encode()), "x.gguf": hostile.gguf(values, (hostile.ROW,)),
    }  # fmt: skip
    chance = random.Random(7)
    for name, seed in seeds.items():
        file = put(tmp_path / name, seed)
        assert weights_head.read_head(file).tensors, "as long as nothing is changed"
        for _ in range(1000):
            changed = bytearray(seed)
            for _ in range(chance.choice([1, 2, 5])):
                place, long = chance.randrange(len(changed)), chance.choice([1, 4, 8])
                words = [b"\xff" * 8, b"\0" * 8, b"1e999", b"null", b"NaN", b"[]", b"", bytes([chance.randrange(256)])]
                changed[place : place + long] = chance.choice(words)
            file.write_bytes(changed)
            weights_head._read_head.cache_clear()
            survey._cached.clear()
            lora_head._read_lora_head.cache_clear()
            survey.inspect_file(file)
            if name.endswith("safetensors"):
                try:
                    lora_head.read_lora_head(file)
                except lora_head.UnusableLora:
                    continue


def test_a_disk_that_fails_once_is_believed_only_then(tmp_path, monkeypatch):
    good = good_vae(tmp_path)
    with monkeypatch.context() as failing:

        def fail(file):
            raise OSError(5, "Input/output error")

        failing.setattr(guarded_files, "opened", fail)
        (row,) = survey.survey([tmp_path]).files
        assert row.why == "it can't be read (Input/output error)"
    (row,) = survey.survey([tmp_path]).files
    assert row.file == good and row.components


def test_a_folder_that_cannot_be_listed_is_one_row(tmp_path, monkeypatch):
    good = good_vae(tmp_path)
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(place):
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    looked = {row.file: row for row in survey.survey([tmp_path]).files}
    assert looked[tmp_path / "locked"].why == "it can't be read (Permission denied)" and looked[good].components


def test_a_models_folder_that_cannot_be_looked_at_hides_no_other(tmp_path):
    good = good_vae(tmp_path / "models")
    (tmp_path / "file").write_bytes(b"")
    os.symlink("loop", tmp_path / "loop")
    folders = [tmp_path / "nothing", tmp_path / "file", tmp_path / "loop", Path("\0"), tmp_path / "models"]
    assert [row.file for row in survey.survey(folders).files] == [good]


def test_a_second_survey_reads_no_file_again(tmp_path, monkeypatch):
    for number in range(3 * weights_head.CACHED_HEADS):
        put(tmp_path / f"{number}.safetensors", tiny_folder.safetensors(number + 1))
    heads_only.write(tmp_path / "umt5.safetensors", heads_only.text_encoder())
    read, real = [], guarded_files.opened
    monkeypatch.setattr(guarded_files, "opened", lambda file: read.append(file) or real(file))
    first = survey.survey([tmp_path])
    assert len(read) == 3 * weights_head.CACHED_HEADS + 1
    assert survey.survey([tmp_path]) == first and len(read) == 3 * weights_head.CACHED_HEADS + 1
    put(tmp_path / "0.safetensors", tiny_folder.safetensors(5000))
    assert len(survey.survey([tmp_path]).files) == len(first.files) and len(read) == 3 * weights_head.CACHED_HEADS + 2


def test_a_survey_reports_how_far_it_is(tmp_path):
    for number in range(5):
        put(tmp_path / f"{number}.safetensors", tiny_folder.safetensors())
    told: list[int] = []
    survey.survey([tmp_path], on_file=told.append)
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is always text")
def test_a_name_that_is_no_text_can_be_shown(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/models\xff"))
    put(folder / "bad.safetensors", b"")
    write_small(folder / SMALL.id)
    planner = Planner([str(folder)], None)
    planner.library.refresh()
    (row,) = [row for row in planner.rows() if row.model == SMALL.id]
    assert row.here and Path(row.folder) == folder / SMALL.id
    shown = [row.sentence, *(finding.sentence for finding in diagnosis._files(planner.library.refresh()))]
    assert all(sentence.encode() for sentence in shown)
