"""Fetching a model from a hub: only what is needed, checked, gone on with after every kind of stop, and shared."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.wan_backend.downloads import fake_hub, fetched_cache
from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.downloads import cache_notes, contents, hub_listing, model_download, problems
from wan_backend.library import extras, hub_cache, locate
from wan_backend.protocol.downloads import DownloadState
from wan_backend.protocol.errors import Refusal
from wan_backend.storage import media_folder

SMALL, CONTROL = entries.entry("wan2.1-t2v-1.3b"), entries.entry("wan2.1-vace-1.3b")
EDITS = entries.entry("bernini-r-1.3b")
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
ENCODER = "text_encoder/model.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return fetched_cache.cache_in(tmp_path / "cache", monkeypatch)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Both repositories, with what is not needed in them too; their text encoders differ."""
    made = fake_hub.FakeHub()
    tiny_folder.write(tmp_path / "small", "WanPipeline", layers=30, heads=12)
    tiny_folder.write(tmp_path / "control", "WanVACEPipeline", layers=30, heads=12)
    made.add(SMALL.repo, tmp_path / "small", LICENSE__txt=b"Apache", README__md=b"About")
    made.add(CONTROL.repo, tmp_path / "control", README__md=b"About the other")
    for number, repo in enumerate(made.repos.values()):
        repo[TRANSFORMER] = tiny_folder.safetensors(100_000 + number)
        repo[ENCODER] = tiny_folder.safetensors(50_000 + number)
        repo["vae/diffusion_pytorch_model.safetensors"] = tiny_folder.safetensors(20_000)
        repo["text_encoder/pytorch_model.bin"] = repo["assets/film.mp4"] = b"not needed"
        repo["transformer/diffusion_pytorch_model.fp16.safetensors"] = b"not needed either"
        repo["transformer_2/" + TRANSFORMER.partition("/")[2]] = b"nor this: the index has no such part"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.url)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield made
    made.close()


def fetch(entry=CONTROL, folders=()):
    """Fetch it; the folder, and what was told."""
    told = []
    return model_download.fetch(entry, list(folders), told.append), told


def problem(entry=CONTROL, folders=()):
    """Why it could not be fetched."""
    with pytest.raises(Exception) as raised:
        fetch(entry, folders)
    return model_download.problem_for(raised.value, entry, list(folders))


def partials(cache: Path) -> list[Path]:
    return list(cache.rglob("*" + hub_cache.INCOMPLETE_SUFFIX))


def test_a_model_is_fetched_and_found(hub, cache):
    folder, told = fetch()
    assert locate.find(CONTROL) == locate.LocatedModel(folder)
    assert (folder / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]
    assert (
        told[-1].done_bytes
        <= told[-1].total_bytes
        == sum(
            len(content)
            for name, content in hub.repos[CONTROL.repo].items()
            if not any(word in name for word in (".bin", "assets", "fp16", "transformer_2"))
        )
    )
    assert partials(cache) == []


def test_a_renderer_is_fetched_by_its_own_config(hub, tmp_path):
    folder = tiny_folder.write(tmp_path / "renderer", "WanPipeline", layers=30, heads=12)
    (folder / "model_index.json").unlink()
    (folder / "config.json").write_text('{"model_type": "bernini_renderer", "skip_transformer_2": true}')
    hub.add(EDITS.repo, folder)
    here, _ = fetch(EDITS)
    assert locate.find(EDITS) == locate.LocatedModel(here) and (here / "config.json").is_file()
    hub.repos[EDITS.repo]["config.json"] = b'{"model_type": "bernini"}'
    shutil.rmtree(here.parent.parent)
    assert "get Bernini-R, which has none" in problem(EDITS).sentence


def test_what_is_not_needed_is_not_fetched(hub):
    folder, _ = fetch()
    assert not [name for name in hub.names() if any(word in name for word in (".bin", "mp4", "fp16", "transformer_2"))]
    assert (folder / "README.md").is_file()


def test_huggingface_hub_itself_finds_it_whole(hub, cache):
    folder, _ = fetch()
    hub.asked.clear()
    wanted = ["*/config.json", TRANSFORMER]
    again = huggingface_hub.snapshot_download(CONTROL.repo, allow_patterns=wanted, cache_dir=cache)
    assert Path(again) == folder and hub.asked == []


def test_the_text_encoder_is_fetched_once_for_all(hub):
    control, _ = fetch(CONTROL)
    hub.asked.clear()
    folder, _ = fetch(SMALL)
    assert locate.find(SMALL) == locate.LocatedModel(folder)
    assert not [name for name in hub.names() if name.startswith(("text_encoder", "tokenizer"))]
    assert os.path.samefile(folder / ENCODER, control / ENCODER)
    shutil.rmtree(control.parent.parent)
    assert isinstance(locate.find(SMALL), locate.LocatedModel), "each has it by a name of its own"


def test_the_shared_text_encoder_comes_first_of_all_from_its_own_repository(hub):
    folder, _ = fetch(SMALL)
    assert (folder / ENCODER).read_bytes() == hub.repos[CONTROL.repo][ENCODER]
    hub.asked.clear()
    fetch(CONTROL)
    assert ENCODER not in hub.names()


def test_the_same_file_of_another_model_is_shared(hub):
    fetch(CONTROL)
    hub.asked.clear()
    fetch(SMALL)
    assert "vae/diffusion_pytorch_model.safetensors" not in hub.names()


def test_a_copy_is_made_where_no_second_name_can_be_given(hub, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    fetch(CONTROL)
    monkeypatch.setattr(os, "link", refuse)
    folder, _ = fetch(SMALL)
    assert (folder / ENCODER).read_bytes() == hub.repos[CONTROL.repo][ENCODER]


@pytest.mark.parametrize("links", ["no symbolic ones", "none"])
def test_disks_without_links(hub, monkeypatch, links):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    if links == "none":
        monkeypatch.setattr(os, "link", refuse)
    folder, _ = fetch()
    assert locate.find(CONTROL) == locate.LocatedModel(folder)
    hub.asked.clear()
    assert model_download.plan(CONTROL, []).fetch_bytes == 0
    fetch()
    assert set(hub.names()) == {"model_index.json"}


def test_a_license_that_is_another_one_now_is_said_before(hub, monkeypatch):
    listing = hub.listing
    monkeypatch.setattr(hub, "listing", lambda repo: {**listing(repo), "cardData": {"license": "cc-by-nc-4.0"}})
    plan = model_download.plan(SMALL, [])
    assert plan.licence == "Apache-2.0" and plan.notes == ["Its page on the hub names the license cc-by-nc-4.0 now."]


def test_the_plan_says_everything_before(hub, cache):
    plan = model_download.plan(SMALL, [])
    encoder = len(hub.repos[CONTROL.repo][ENCODER])
    assert plan.fetch_bytes == plan.total_bytes > encoder and plan.problem is None
    assert plan.licence == "Apache-2.0" and plan.licence_url == f"{hub.url}/{SMALL.repo}/blob/main/LICENSE.txt"
    assert plan.folder == str(cache) and plan.free_bytes > 0 and plan.notes == []
    assert {file.repo for file in plan.files if file.name.startswith("text_encoder/")} == {CONTROL.repo}
    assert hub.names() == ["model_index.json"] and not cache.exists()


def test_the_plan_knows_what_is_here(hub):
    fetch(CONTROL)
    plan = model_download.plan(SMALL, [])
    assert plan.fetch_bytes < plan.total_bytes - len(hub.repos[CONTROL.repo][ENCODER])
    assert plan.notes == [f"The text encoder of {CONTROL.label}, which is already here, is shared."]
    assert model_download.plan(CONTROL, []).fetch_bytes == 0


def test_into_the_models_folder(hub, tmp_path):
    (tmp_path / "models").mkdir()
    folder, _ = fetch(CONTROL, [str(tmp_path / "models")])
    assert folder.is_relative_to(tmp_path / "models")
    assert locate.find(CONTROL, [tmp_path / "models"]) == locate.LocatedModel(folder)
    assert isinstance(locate.find(CONTROL), locate.UnavailableModel)


def test_a_begun_file_is_gone_on_with(hub, cache):
    file = next(file for file in hub_listing.read_listing(CONTROL.repo).files if file.name == TRANSFORMER)
    blob = hub_cache.blob_path(cache, CONTROL.repo, file.checksum)
    blob.parent.mkdir(parents=True)
    hub_cache.partial_path(blob).write_bytes(hub.repos[CONTROL.repo][TRANSFORMER][:123_456])
    plan = model_download.plan(CONTROL, [])
    assert plan.fetch_bytes == plan.total_bytes - 123_456
    folder, _ = fetch()
    assert (TRANSFORMER, "bytes=123456-") in hub.asked
    assert (folder / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]


def test_a_line_that_breaks_in_the_middle(hub):
    hub.cut[TRANSFORMER] = 100_000
    folder, _ = fetch()
    assert (folder / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]
    assert [asked for name, asked in hub.asked if name == TRANSFORMER][1].startswith("bytes=")


def test_a_hub_that_sends_the_whole_file_again(hub):
    hub.cut[TRANSFORMER], hub.ignores_ranges = 100_000, True
    folder, _ = fetch()
    assert (folder / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]


@pytest.mark.parametrize("name", [TRANSFORMER, "README.md"])
def test_a_file_that_came_damaged_is_fetched_again(hub, name):
    hub.spoiled[name] = 1
    folder, _ = fetch()
    assert (folder / name).read_bytes() == hub.repos[CONTROL.repo][name]
    assert hub.names().count(name) == 2


def test_a_file_that_comes_damaged_twice_is_not_kept(hub, cache):
    hub.spoiled[TRANSFORMER] = 2
    found = problem()
    assert found.kind == "checksum" and TRANSFORMER in found.sentence
    assert [fix.label for fix in found.fixes] == ["Retry"]
    assert partials(cache) == [] and isinstance(locate.find(CONTROL), locate.UnavailableModel)
    fetch()  # what was right is kept
    assert hub.names().count("vae/diffusion_pytorch_model.safetensors") <= 1


def test_a_begun_file_of_wrong_content_heals(hub, cache):
    file = next(file for file in hub_listing.read_listing(CONTROL.repo).files if file.name == TRANSFORMER)
    blob = hub_cache.blob_path(cache, CONTROL.repo, file.checksum)
    blob.parent.mkdir(parents=True)
    for length in (1000, file.size_bytes, file.size_bytes + 7):  # as a power cut may leave it
        hub_cache.partial_path(blob).write_bytes(bytes(length))
        folder, _ = fetch()
        assert (folder / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]
        blob.unlink()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(401, "not_allowed", "hf auth login"), (403, "not_allowed", "HF_TOKEN"), (404, "not_found", "choose another")],
)
def test_what_the_hub_refuses(hub, status, kind, words):
    hub.status[CONTROL.repo] = status
    found = problem()
    assert found.kind == kind and words in found.sentence
    assert model_download.plan(CONTROL, []).problem == found
    assert [fix.action for fix in found.fixes] == ["download"]


@pytest.mark.parametrize("status", [401, 403, 404, 451])
def test_a_page_that_says_no_in_the_hubs_place_is_not_told_as_the_hubs_word(hub, status):
    page = b"<html>This site is blocked.</html>"
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page))}
    hub.raw[TRANSFORMER] = lambda _wanted, _content: (status, headers, page)
    found = problem()
    assert found.kind == "offline" and f"Something other than the hub refused the download ({status})" in found.sentence
    assert "log in" not in found.sentence and "no longer" not in found.sentence


@pytest.mark.parametrize(("instead", "words"), [
    (lambda _: b"<html>please sign in</html>", "a network that needs a login"),
    (lambda content: content[:-1000], "not all of it"),
    (lambda content: content + bytes(1000), "something else"),
    (lambda _: b"", "not all of it"),
], ids=["page", "shorter", "longer", "nothing"])  # fmt: skip
def test_an_answer_that_is_not_the_file(hub, cache, instead, words):
    hub.instead[TRANSFORMER] = instead
    found = problem()
    assert (found.kind, [fix.action for fix in found.fixes]) == ("hub_failed", ["download"])
    assert words in found.sentence and "written" not in found.sentence and "force_download" not in found.sentence
    del hub.instead[TRANSFORMER]
    assert fetch() and not partials(cache)


def test_a_page_instead_of_the_list(hub, monkeypatch):
    monkeypatch.setattr(fake_hub.json, "dumps", lambda _: "<html>sign in</html>")
    assert problem().kind == "hub_failed"


def test_a_hub_that_is_busy_is_asked_again(hub):
    hub.busy = {TRANSFORMER: 2, CONTROL.repo: 3}
    assert fetch()
    hub.busy = {SMALL.repo: 9}
    found = problem(SMALL)
    assert found.kind == "hub_failed" and "overloaded or under repair (503)" in found.sentence


@pytest.mark.parametrize("whose", ["own", "twin"])
def test_a_damaged_blob_of_the_same_length_is_not_taken_over(hub, cache, whose):
    content = hub.repos[CONTROL.repo][TRANSFORMER]
    digest = hashlib.sha256(content).hexdigest()
    blob = hub_cache.blob_path(cache, CONTROL.repo if whose == "own" else "Someone/Else", digest)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content[:-4] + b"EVIL")
    assert (fetch()[0] / TRANSFORMER).read_bytes() == content
    assert TRANSFORMER in hub.names()
    if whose == "twin":
        assert blob.read_bytes().endswith(b"EVIL")  # of somebody else: it isn't ours to fix


@pytest.mark.parametrize("links", ["symbolic ones", "no symbolic ones", "none"])
def test_a_damaged_text_encoder_is_not_lent(hub, monkeypatch, links):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    for name in {"symbolic ones": [], "no symbolic ones": ["symlink"], "none": ["symlink", "link"]}[links]:
        monkeypatch.setattr(os, name, refuse)
    folder = fetch()[0]
    blob = (folder / ENCODER).resolve()
    blob.write_bytes(blob.read_bytes()[:-4] + b"EVIL")
    found = problem(SMALL)
    assert found.kind == "checksum" and str(folder) in found.sentence and "set aside" in found.sentence
    hub.asked.clear()
    assert fetch(SMALL) and ENCODER in hub.names()
    assert isinstance(locate.find(CONTROL), locate.UnavailableModel)
    assert fetch() and isinstance(locate.find(CONTROL), locate.LocatedModel)


def test_what_is_here_is_read_once(hub, monkeypatch):
    fetch()
    monkeypatch.setattr(cache_notes, "checksum", lambda *_: pytest.fail("read again"))
    fetch()


def test_the_commit_that_was_fetched_first_stays(hub, cache):
    folder = fetch()[0]
    hub.commit = "d" * 40
    shutil.rmtree(folder / "transformer")
    hub.repos[CONTROL.repo]["README.md"] = b"About, corrected"  # which makes it no other model
    assert fetch()[0].name == hub.commit  # this hub has the old commit no more; its files are the same
    assert cache_notes.first_commit(cache, CONTROL.repo) == fake_hub.COMMIT


def first_notes(cache, repo):
    """What is noted of a repository."""
    return json.loads((cache / ".locks" / cache_notes.FIRST).read_text())[repo]


def test_a_file_that_was_changed_is_refused_until_a_person_accepts_it(hub, cache):
    fetch(SMALL)
    folder, content = fetch()[0], hub.repos[CONTROL.repo][TRANSFORMER]
    row = [len(content), hashlib.sha256(content).hexdigest()]
    assert first_notes(cache, CONTROL.repo)["files"][TRANSFORMER] == row
    hub.commit, hub.repos[CONTROL.repo][TRANSFORMER] = "d" * 40, tiny_folder.safetensors(100_777)
    found = problem()
    assert found.kind == "checksum" and f"{CONTROL.repo}/{TRANSFORMER} is no longer the file" in found.sentence
    assert f"models --download {CONTROL.id} --accept-changes" in found.sentence
    assert model_download.plan(CONTROL, []).problem == found
    assert locate.find(CONTROL) == locate.LocatedModel(folder), "what is here stays"
    before = first_notes(cache, SMALL.repo)
    now = model_download.fetch(CONTROL, [], lambda _: None, accept_changes=True)
    assert now.name == hub.commit and (now / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]
    assert first_notes(cache, CONTROL.repo)["commit"] == hub.commit and first_notes(cache, SMALL.repo) == before
    assert fetch()[0] == now, "what was accepted is what counts from now on"
    hub.repos[CONTROL.repo][TRANSFORMER] = content
    assert problem().kind == "checksum"


def test_a_file_that_is_not_what_the_catalogue_knows_is_refused(hub, cache, monkeypatch):
    known = {TRANSFORMER: "0" * 64, "assets/film.mp4": "0" * 64}  # of what isn't fetched, nothing is asked
    monkeypatch.setattr(entries.Catalogue, "checksums", lambda _, repo: known if repo == CONTROL.repo else {})
    fetch(SMALL)  # only the text encoder is taken from that one
    hub.asked.clear()
    found = problem()
    assert found.kind == "checksum" and "that this version of Wan VSE knows" in found.sentence
    assert not isinstance(locate.find(CONTROL), locate.LocatedModel) and TRANSFORMER not in hub.names()
    assert model_download.fetch(CONTROL, [], lambda _: None, accept_changes=True)
    shutil.rmtree(cache / "models--Wan-AI--Wan2.1-VACE-1.3B-diffusers" / "blobs")
    assert fetch(), "it was accepted"


def test_what_another_program_fetched_is_compared_too(hub, cache):
    """Into the same cache, before we noted anything: at another commit, and with a file of another content."""
    folder = fetch()[0]
    (cache / ".locks" / cache_notes.FIRST).unlink()
    (cache / ".locks" / cache_notes.CHECKED).unlink()
    blob = (folder / TRANSFORMER).resolve()
    blob.write_bytes(blob.read_bytes()[:-4] + b"EVIL")
    hub.asked.clear()
    assert (fetch()[0] / TRANSFORMER).read_bytes() == hub.repos[CONTROL.repo][TRANSFORMER]
    assert TRANSFORMER in hub.names() and first_notes(cache, CONTROL.repo)["files"][TRANSFORMER]


def test_the_catalogue_knows_files_that_are_fetched():
    for entry in (*entries.load().models.values(), *entries.load().loras.values()):
        for name, checksum in entry.sha256.items():
            assert re.fullmatch("[0-9a-f]{64}", checksum), entry.id
            assert name in extras.names_of(entry) if isinstance(entry, entries.LoraEntry) else "/" in name, name


def test_a_proxy_that_does_not_answer_is_named(hub, monkeypatch):
    for name, value in (("ALL_PROXY", "socks5://me:secret@127.0.0.1:9"), ("NO_PROXY", ""), ("no_proxy", "")):
        monkeypatch.setenv(name, value)
    huggingface_hub.close_session()
    found = problem()
    assert found.kind == "offline" and "(ALL_PROXY: socks5://127.0.0.1:9)" in found.sentence
    huggingface_hub.close_session()


def test_a_quota_is_not_told_as_a_full_disk(hub, monkeypatch):
    monkeypatch.setattr(hub_listing, "fetch_into", lambda *_: (_ for _ in ()).throw(OSError(errno.EDQUOT, "quota")))
    found = problem()
    assert found.kind == "disk_full" and "Your quota on the disk" in found.sentence and "full" not in found.sentence


def test_terms_that_were_not_agreed_to(hub):
    hub.gated.add(CONTROL.repo)
    found = problem()
    assert found.kind == "not_allowed" and "agreed to its terms" in found.sentence and CONTROL.repo in found.sentence


def test_a_file_that_is_gone(hub):
    hub.status[TRANSFORMER] = 404
    assert problem().kind == "not_found"


def test_a_hub_out_of_reach(hub, monkeypatch):
    hub.close()
    monkeypatch.setattr("time.sleep", lambda _: None)
    found = problem()
    assert found.kind == "offline" and "can't be reached" in found.sentence


def test_offline_by_wish(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in problem().sentence


def test_the_token_is_the_librarys_own(hub, monkeypatch, cache):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch()
    assert "Bearer hf_secret" in hub.tokens
    assert not [file for file in cache.rglob("*") if file.is_file() and b"hf_secret" in file.read_bytes()]


def test_too_little_room_is_said_before(hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 20_000_000))
    monkeypatch.setattr(media_folder, "RESERVE_BYTES", 19_900_000)
    found = model_download.plan(CONTROL, []).problem
    assert found.kind == "disk_full" and "where 20 MB are free" in found.sentence
    assert [fix.label for fix in found.fixes] == ["Retry", "Choose Folder"]
    hub.asked.clear()
    assert problem().kind == "disk_full" and hub.names() == ["model_index.json"]


def test_a_disk_that_fills_meanwhile(hub, monkeypatch):
    whole = model_download._ReportingFile.write

    def write(sink, content):
        if sink.tell() > 50_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(sink, content)

    monkeypatch.setattr(model_download._ReportingFile, "write", write)
    found = problem()
    assert found.kind == "disk_full" and "what was downloaded is kept" in found.sentence
    monkeypatch.setattr(model_download._ReportingFile, "write", whole)
    hub.asked.clear()
    fetch()
    assert hub.asked[1][1].startswith("bytes=")


@pytest.mark.parametrize(
    ("name", "nth", "code"),
    [
        *((name, nth, errno.ENOSPC) for name in ("fsync", "replace", "open", "mkdir") for nth in (2, -1)),
        ("fsync", 3, errno.EIO),
    ],
)
def test_a_disk_that_fails_at_any_step(hub, monkeypatch, name, nth, code):
    """At the last byte of a file, at its name, in the snapshot: it's said, and the next try makes it whole."""
    calls = 0
    plain = getattr(os, name)

    def fails(*given, **more):
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(code, os.strerror(code))
        return plain(*given, **more)

    if nth == -1:  # the last one of all
        monkeypatch.setattr(os, name, fails)
        fetch(SMALL)
        monkeypatch.setattr(os, name, plain)
        nth, calls = calls, 0
        shutil.rmtree(Path(os.environ["HF_HUB_CACHE"]))
    monkeypatch.setattr(os, name, fails)
    try:
        fetch(SMALL)
    except OSError as error:
        told = model_download.problem_for(error, SMALL, [])
        assert told.kind == ("disk_full" if code == errno.ENOSPC else "folder"), told
    monkeypatch.setattr(os, name, plain)
    folder = fetch(SMALL)[0]
    assert locate.find(SMALL) == locate.LocatedModel(folder)
    assert (folder / TRANSFORMER).read_bytes() == hub.repos[SMALL.repo][TRANSFORMER]
    assert (folder / ENCODER).read_bytes() == hub.repos[CONTROL.repo][ENCODER]


def test_a_repository_that_was_renamed(hub):
    hub.repos["Other/Name"] = hub.repos.pop(CONTROL.repo)
    hub.moved = {f"{start}{CONTROL.repo}": f"{start}Other/Name" for start in ("/api/models/", "/")}
    folder = fetch()[0]
    assert locate.find(CONTROL) == locate.LocatedModel(folder)


@pytest.mark.parametrize("answer", ["{}", "[]", "null", '"no"', '{"id": 7, "siblings": 3}', "[[[[", ""])
def test_an_answer_of_another_form_instead_of_the_list(hub, monkeypatch, answer):
    monkeypatch.setattr(fake_hub.FakeHub, "listing", lambda *_: None)
    plain = json.dumps
    monkeypatch.setattr(fake_hub.json, "dumps", lambda value, **more: answer if value is None else plain(value, **more))
    found = problem()
    assert found.kind in ("hub_failed", "model_broken") and "Error" not in found.sentence


def test_a_hub_that_goes_down_in_the_middle(hub, cache, monkeypatch):
    plain = model_download._ReportingFile.write

    def write(sink, content):
        hub.close()  # answers nobody any more, and leaves off in the middle
        return plain(sink, content)

    hub.cut[TRANSFORMER] = 120_000
    monkeypatch.setattr(model_download._ReportingFile, "write", write)
    found = problem()
    assert found.kind == "offline" and "What was downloaded is kept" in found.sentence
    assert [file for file in cache.rglob("*") if file.is_file() and file.stat().st_size > 0]


def test_a_folder_that_takes_nothing(hub, tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = problem(CONTROL, [str(tmp_path / "file" / "models")])
    assert found.kind == "folder" and [fix.label for fix in found.fixes] == ["Choose Folder"]


def test_one_process_at_a_time(hub, cache):
    assert not cache_notes.is_downloading(cache, CONTROL.repo)
    with cache_notes.download_lock(cache, CONTROL.repo):
        assert problem().kind == "busy"
    fetch()
    assert not cache_notes.is_downloading(cache, CONTROL.repo)


def test_names_that_lead_outside_are_refused(hub, tmp_path):
    hub.repos[CONTROL.repo]["vae/../../../../../evil.json"] = b"{}"
    found = problem()
    assert found.kind == "model_broken" and not list(tmp_path.rglob("evil.json"))


def test_a_repository_that_lacks_a_part(hub):
    del hub.repos[CONTROL.repo]["vae/config.json"]
    found = problem()
    assert "'vae/config.json' is missing" in found.sentence
    assert isinstance(locate.find(CONTROL), locate.UnavailableModel)


def test_canceling_keeps_nothing_but_what_others_need(hub, cache):
    fetch(CONTROL)
    hub.status[TRANSFORMER] = 500
    plan = model_download.plan(SMALL, [])
    problem(SMALL)
    blobs = [Path(file.blob) for file in plan.files if file.blob]
    assert any(blob.is_file() for blob in blobs)
    assert hub_cache.remove_blobs([*blobs, cache / "elsewhere" / "x"]) > 0
    assert not (cache / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers" / "blobs").exists()
    assert isinstance(locate.find(CONTROL), locate.LocatedModel)
    whole = [file.resolve() for file in (cache / "models--Wan-AI--Wan2.1-VACE-1.3B-diffusers/blobs").iterdir()]
    assert hub_cache.remove_blobs(whole) == 0 and isinstance(locate.find(CONTROL), locate.LocatedModel)


def test_what_is_told_grows(hub):
    hub.slow_seconds = 0.02
    _, told = fetch()
    numbers = [status.done_bytes for status in told]
    assert numbers == sorted(numbers) and len(told) > 5
    assert {status.state for status in told} <= {DownloadState.RUNNING, DownloadState.CHECKING}


def test_the_embedded_model_is_not_to_be_fetched():
    with pytest.raises(Refusal) as refused:
        contents.find_contents(entries.entry("embedded"), [])
    assert "nothing to download" in refused.value.problem.sentence
    assert problems.choose_folder().action == "open_preferences"


def test_a_model_with_a_borrowed_text_encoder_loads(hub, t2v_folder, vace_folder):
    import torch

    from wan_backend.loading.wan_model import WanModel

    hub.add(SMALL.repo, t2v_folder)
    hub.add(CONTROL.repo, vace_folder)
    folder, _ = fetch(SMALL)
    assert any(name.startswith("text_encoder/") for name in hub.names())
    model = WanModel(folder, torch.device("cpu"))
    theirs = WanModel(vace_folder, torch.device("cpu"))
    mine, wanted = model.text_encoder.state_dict(), theirs.text_encoder.state_dict()
    assert all(torch.equal(mine[name], wanted[name]) for name in wanted)
    assert model.transformer.config.num_layers and model.vae.config.z_dim
    assert model.tokenizer("fog").input_ids == theirs.tokenizer("fog").input_ids
