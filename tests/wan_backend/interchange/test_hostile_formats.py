"""XML, AAF and EDL from somebody who means harm, or a program that is wrong: a sentence, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.interchange.cut_files import cut_of, export
from wan_backend.interchange import edit_list, final_cut, other_formats, process
from wan_backend.protocol.conversion import from_json
from wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    ImportTimelineParams,
    ImportTimelineResult,
)
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Problem
from wan_backend.server import interchange_requests


def params_of(file: Path) -> ImportTimelineParams:
    return ImportTimelineParams(str(file), str(file.with_name("read.json")), [str(file.parent)])


def refused(file: Path) -> str:
    """What is said of a file that can't be read; nothing may lie beside it then."""
    said = process.answer(lambda: process.import_(params_of(file), None), file.name)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    return str(from_json(Problem, said["problem"], "problem").sentence)


def read(file: Path) -> tuple[ImportTimelineResult, Cut]:
    result = process.import_(params_of(file), None)
    return result, process.read_cut(file.with_name("read.json"))


def film(tmp_path: Path, ending: str, *names: str) -> Path:
    """A file with a clip of each of these files, which needn't be there."""
    clips = [ClipMedia(ClipMediaKind.FILE, "", str(tmp_path), [name], 9) for name in names or ("a.mp4",)]
    export(cut_of(*clips), tmp_path / f"film{ending}")
    (tmp_path / "cut.json").unlink()
    return tmp_path / f"film{ending}"


BOMB = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10 if at else "x" * 10}">' for at in range(10))


@pytest.mark.parametrize(
    "subset",
    [
        pytest.param(BOMB, id="bomb"),
        pytest.param('<!ENTITY e9 SYSTEM "file:///etc/passwd">', id="file"),
        pytest.param('<!ENTITY e9 SYSTEM "http://host/x">', id="network"),
        pytest.param('<!ENTITY % p SYSTEM "http://host/x.dtd"> %p;', id="parameter"),
    ],
)
def test_xml_that_declares_entities_is_refused(tmp_path: Path, subset: str) -> None:
    file = tmp_path / "film.xml"
    file.write_text(
        f"<?xml version='1.0'?><!DOCTYPE xmeml [{subset}]><xmeml><sequence><name>&e9;</name></sequence></xmeml>"
    )
    assert refused(file) == "The file declares entities, as no cut does."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no whole XML"),
        ("<xmeml", "no whole XML"),
        ("<fcpxml version='1.8'/>", "is not Final Cut Pro 7's XML"),
        ("<xmeml/>", "can't be read"),
        ("<a>" * 300 + "</a>" * 300, "deeper, than any cut"),
        (
            "<xmeml><sequence><media><video><track><clipitem/></track></video></media></sequence></xmeml>",
            "can't be read",
        ),
    ],
)
def test_xml_that_is_no_cut_ends_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "film.xml"
    file.write_text(text)
    assert words in refused(file)


def test_xml_with_more_elements_than_any_cut_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_cut, "MAX_ELEMENTS", 100)
    (tmp_path / "film.xml").write_text(f"<xmeml>{'<a/>' * 100}</xmeml>")
    assert "more in it" in refused(tmp_path / "film.xml")


def sequence(name: str, *plays: str) -> str:
    """A sequence in which others play."""
    clips = "".join(
        f"<clipitem id='{name}{at}'><name>{each}</name><start>{at}</start><end>{at + 1}</end><in>0</in><out>1</out>"
        f"<sequence id='{each}'/></clipitem>"
        for at, each in enumerate(plays)
    )
    rate = "<rate><timebase>24</timebase><ntsc>FALSE</ntsc></rate>"
    media = f"<media><video><track>{clips}</track></video></media>"
    return f"<sequence id='{name}'><name>{name}</name>{rate}{media}</sequence>"


@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param([sequence("a", "a")], id="itself"),
        pytest.param([sequence("a", "b"), sequence("b", "a")], id="each other"),
        pytest.param([sequence(f"s{at}", *[f"s{at + 1}"] * 20) for at in range(9)] + [sequence("s9")], id="swelling"),
    ],
)
def test_sequences_that_play_each_other_without_end_are_refused(tmp_path: Path, sequences: list[str]) -> None:
    file = tmp_path / "film.xml"
    file.write_text(f"<xmeml><project><children>{''.join(sequences)}</children></project></xmeml>")
    assert "play each other without end" in refused(file)


def test_a_sequence_that_plays_in_another_is_read_where_it_is_only_named(tmp_path: Path) -> None:
    both = sequence("outer", "inner", "inner") + sequence("inner", "leaf", "leaf", "leaf") + sequence("leaf")
    (tmp_path / "film.xml").write_text(f"<xmeml><project><children>{both}</children></project></xmeml>")
    result, cut = read(tmp_path / "film.xml")
    assert (cut.name, result.lost) == ("outer", [])
    assert [clip.media[0].kind for clip in cut.tracks[0].clips] == [ClipMediaKind.NESTED] * 2
    assert sorted(len(each.tracks[0].clips) for each in cut.nested) == [0] * 6 + [3, 3]


def test_of_several_timelines_the_longest_is_read_and_it_is_said(tmp_path: Path) -> None:
    both = sequence("short", "leaf") + sequence("long", "leaf", "leaf") + sequence("leaf")
    (tmp_path / "film.xml").write_text(f"<xmeml><project><children>{both}</children></project></xmeml>")
    result, cut = read(tmp_path / "film.xml")
    assert (cut.name, result.lost) == ("long", ["The file holds 2 timelines, of which long was read."])


@pytest.mark.parametrize(
    "url", ["http://host/x.mov", "file://host/x.mov", "//host/x.mov", "/etc/passwd", "file:///etc/passwd", "x.m3u8"]
)
@pytest.mark.parametrize("ending", [other_formats.XML, other_formats.EDL])
def test_nothing_is_asked_of_the_network_or_of_files_that_are_no_media(tmp_path: Path, ending: str, url: str) -> None:
    file = film(tmp_path, ending)
    (tmp_path / "a.mp4").write_text("there")
    file.write_text(file.read_text().replace((tmp_path / "a.mp4").as_uri(), url))
    result, cut = read(file)
    assert result.missing == 1 and cut.tracks[0].clips[0].media[0].kind is ClipMediaKind.MISSING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no clips"),
        ("no list at all", "has no clips"),
        ("001  A V C 00:00:00:00", "can't be read"),
        ("001  A V C 00:00:00:00 99:99:99:99 00:00:00:00 00:00:01:00", "can't be read"),
        ("001  A V K 00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00", "can't be read"),
    ],
)
def test_a_list_that_is_none_ends_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "film.edl"
    file.write_text(text)
    assert words in refused(file)


def test_a_list_with_more_lines_than_any_cut_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit_list, "MAX_LINES", 10)
    (tmp_path / "film.edl").write_text("* remark\n" * 11)
    assert "more in it" in refused(tmp_path / "film.edl")
    (tmp_path / "film.edl").write_text("*" * (edit_list.MAX_LINE + 1))
    assert "more in it" in refused(tmp_path / "film.edl")


EVENT = "001  AX V C 01:00:00:00 01:00:01:00 01:00:00:12 01:00:01:12\n"


def test_lines_about_speeds_that_are_none_are_remarks(tmp_path: Path) -> None:
    file = tmp_path / "film.edl"
    spaces = " " * 60_000
    file.write_text(f"{EVENT}M2 {spaces}x\nM2 AX . 00:00:00:00\nM2 AX 1e9 00:00:00:00\nM2\n* FROM CLIP NAME: One\n")
    (clip,) = read(file)[1].tracks[0].clips
    assert (clip.name, clip.start, clip.length, clip.speed) == ("One", 12, 24, 1.0)


def test_a_list_whose_times_contradict_each_other_is_read_and_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "film.edl"
    file.write_bytes(b"TITLE: caf\xe9\r\n" + (EVENT * 1 + EVENT.replace("001", "002")).replace("\n", "\r\n").encode())
    result, cut = read(file)
    assert edit_list.MISREAD in result.lost and cut.name == "café"
    assert [(clip.start, clip.length) for clip in cut.tracks[0].clips] == [(12, 24), (36, 24)]


def test_a_list_at_a_rate_without_a_timecode_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.edl").write_text(EVENT)
    params = ImportTimelineParams(
        str(tmp_path / "film.edl"), str(tmp_path / "read.json"), [str(tmp_path)], "", FrameRate(12)
    )
    with pytest.raises(Refusal, match="no timecode"):
        process.import_(params, None)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty", marks=pytest.mark.long),
        pytest.param(b"x" * 5000, id="text", marks=pytest.mark.long),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096), id="head alone", marks=pytest.mark.ci),
    ],
)
def test_an_aaf_that_is_none_ends_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "film.aaf"
    file.write_bytes(content)
    with pytest.raises(Refusal, match=r"film\.aaf"):
        interchange_requests.import_(params_of(file))
    assert [each.name for each in tmp_path.iterdir()] == ["film.aaf"]


@pytest.mark.long
@pytest.mark.parametrize("at", [0.02, 0.05, 0.3, 0.6, 0.9])
def test_a_damaged_aaf_ends_in_a_sentence_or_a_cut(tmp_path: Path, at: float) -> None:
    file = film(tmp_path, other_formats.AAF)
    content = bytearray(file.read_bytes())
    begin = int(at * len(content))
    content[begin : begin + 2000] = bytes(255 - each for each in content[begin : begin + 2000])
    file.write_bytes(content)
    try:
        assert interchange_requests.import_(params_of(file)).clips <= 1
    except Refusal as refusal:
        assert "film.aaf" in str(refusal)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_formats, "MAX_CUT_BYTES", 100)
    for ending in (other_formats.XML, other_formats.EDL):
        film(tmp_path, ending)
        with pytest.raises(Refusal, match="too large to be a cut"):
            read(tmp_path / f"film{ending}")


def test_an_aaf_of_more_clips_than_there_is_time_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_formats, "MAX_AAF_CLIPS", 0)
    with pytest.raises(Refusal, match=r"export \.xml or \.otio instead"):
        film(tmp_path, other_formats.AAF)
