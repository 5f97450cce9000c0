"""LoRAs and tiny autoencoders are fetched as models are, and then found where a draft looks for them."""

from __future__ import annotations

import dataclasses

import huggingface_hub.constants
import pytest

from tests.wan_backend.downloads import fake_hub, fetched_cache
from tests.wan_backend.library import tiny_folder
from tests.wan_backend.planning.test_plan_steps import take_request
from wan_backend.catalogue import entries
from wan_backend.downloads import model_download
from wan_backend.library import extras, hub_cache
from wan_backend.protocol.messages import Quality, Source
from wan_backend.server.planner import Planner

KNOWN = entries.load()
TEXT, PICTURE = KNOWN.loras["wan2.1-t2v-14b-4step"], KNOWN.loras["wan2.1-i2v-14b-4step"]
PAIR, TINY = KNOWN.loras["wan2.2-t2v-a14b-4step"], KNOWN.autoencoders["taew2_1"]
FETCHED = [extra for extra in KNOWN.extras if extra.repo]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return fetched_cache.cache_in(tmp_path / "cache", monkeypatch)


@pytest.fixture
def hub(monkeypatch):
    """All repositories that the catalogue names for them, with files in them that nobody asked for."""
    made = fake_hub.FakeHub()
    for number, extra in enumerate(FETCHED):
        repo = made.repos.setdefault(extra.repo, {"README.md": b"About", "old.ckpt": b"x", "other.safetensors": b"x"})
        repo.update(
            {name: tiny_folder.safetensors(20_000 + number + 50 * len(name)) for name in extras.names_of(extra)}
        )
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.url)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield made
    made.close()


def fetch(extra, folders=()):
    return model_download.fetch(extra, list(folders), lambda _: None)


def draft(model, **more):
    return take_request("/tmp", model=model, width=832, height=480, quality=Quality.DRAFT, **more)


@pytest.mark.parametrize("place", ["the cache", "a models folder"])
@pytest.mark.parametrize("extra", FETCHED, ids=lambda extra: extra.id)
def test_what_is_fetched_is_found_where_a_draft_looks(hub, tmp_path, extra, place):
    (tmp_path / "models").mkdir()
    folders = [str(tmp_path / "models")] if place == "a models folder" else []
    assert extras.find(extra, folders) == []
    plan = model_download.plan(extra, folders)
    names = ["README.md", *extras.names_of(extra)]
    assert [file.name for file in plan.files] == names and plan.problem is None and plan.licence == extra.licence
    assert plan.fetch_bytes == plan.total_bytes == sum(len(hub.repos[extra.repo][name]) for name in names)
    folder = fetch(extra, folders)
    assert extras.find(extra, folders) == [folder / name for name in extras.names_of(extra)]
    assert folder.is_relative_to(tmp_path / ("models" if folders else "cache"))
    assert sorted(filter(None, hub.names())) == sorted(names) and model_download.plan(extra, folders).fetch_bytes == 0


def test_two_of_one_repository_are_both_found_also_where_it_changed_between(hub, cache, monkeypatch):
    fetch(TEXT)
    monkeypatch.setattr(fake_hub, "COMMIT", "d" * 40)
    fetch(PICTURE)
    assert hub.names().count("README.md") == 1
    assert len(extras.find(TEXT)) == len(extras.find(PICTURE)) == 1


def test_a_begun_one_goes_on_and_a_damaged_one_is_not_kept(hub, cache):
    name = TEXT.files[0]
    hub.cut[name], hub.spoiled[name] = 30_000, 0
    fetch(TEXT)
    assert [wanted for asked, wanted in hub.asked if asked == name][1].startswith("bytes=")
    hub.spoiled[PAIR.files[1]] = 2
    with pytest.raises(Exception) as raised:
        fetch(PAIR)
    found = model_download.problem_for(raised.value, PAIR, [])
    assert found.kind == "checksum" and [fix.value for fix in found.fixes] == [PAIR.id]
    assert extras.find(PAIR) == [] and not list(cache.rglob("*" + hub_cache.INCOMPLETE_SUFFIX))
    fetch(PAIR)
    assert hub.names().count(PAIR.files[0]) == 1 and len(extras.find(PAIR)) == 2


def test_a_repository_that_has_it_no_more(hub):
    del hub.repos[TINY.repo][TINY.file]
    found = model_download.plan(TINY, []).problem
    assert found.kind == "model_broken" and TINY.file in found.sentence and "do without it" in found.sentence


def test_what_comes_with_the_backend_is_not_fetched():
    assert "nothing to download" in model_download.plan(KNOWN.loras["embedded-draft"], []).problem.sentence


def test_ids_are_of_one_thing_alone():
    text = entries.CATALOGUE_FILE.read_text("utf-8").replace('id = "taew2_2"', 'id = "wan2.1-t2v-1.3b"')
    text = text.replace('tiny_decoder = "taew2_2"', 'tiny_decoder = "taew2_1"')
    with pytest.raises(ValueError, match="different kinds"):
        entries.parse_catalogue(text)
    assert KNOWN.users_of(PICTURE) == ["wan2.1-i2v-14b-480p", "wan2.1-i2v-14b-720p"]
    assert KNOWN.users_of(KNOWN.autoencoders["taew2_2"]) == ["wan2.2-ti2v-5b", "fastwan2.2-ti2v-5b"]


def test_a_draft_says_what_would_make_it_quicker_until_that_is_here(hub, tmp_path):
    models = tmp_path / "models"
    tiny_folder.write(models / "wan2.1-t2v-14b", "WanPipeline", layers=40, heads=40)
    planner = Planner([str(models)], None)
    made = planner.plan(draft("wan2.1-t2v-14b"))
    assert made.problem is None and made.steps == 20
    assert [(fix.label, fix.action, fix.value) for fix in made.fixes] == [
        ("Download 4-Step LoRA (631 MB)...", "download", TEXT.id),
        ("Download Tiny Autoencoder (23 MB)...", "download", TINY.id),
    ]
    assert "4-step LoRA, which is not on this machine" in made.notes[-2] and "tiny autoencoder" in made.notes[-1]
    assert planner.plan(dataclasses.replace(draft("wan2.1-t2v-14b"), quality=Quality.BEST)).fixes == []
    fetch(TINY, [str(models)])
    made = planner.plan(draft("wan2.1-t2v-14b"))
    assert made.decoder.value == "tiny" and [fix.value for fix in made.fixes] == [TEXT.id]
    assert {row.model: row.here for row in planner.extra_rows() if row.download_bytes} == {
        extra.id: extra is TINY for extra in FETCHED
    }


def test_a_draft_that_lacks_nothing_offers_nothing():
    made = Planner([], None).plan(draft("embedded"))
    assert made.fixes == [] and made.lora == "embedded-draft"


def test_a_model_that_is_not_here_is_replaced_only_by_one_that_does_the_task(tmp_path):
    tiny_folder.write(tmp_path / "wan2.1-t2v-1.3b", "WanPipeline", layers=30, heads=12)
    planner = Planner([str(tmp_path)], None)

    def offered(**changes):
        made = planner.plan(take_request("/tmp", model="wan2.1-vace-1.3b", **changes))
        assert made.problem.kind == "model_missing"
        return [fix.value for fix in made.problem.fixes]

    source = {"role": "before", "folder": "/x", "files": ["a.mp4"], "is_movie": True, "frames": 24, "rendered": True}
    assert offered(task="extend", sources=[Source(**source)]) == ["wan2.1-vace-1.3b", "embedded"]
    assert offered() == ["wan2.1-vace-1.3b", "embedded", "wan2.1-t2v-1.3b"]
