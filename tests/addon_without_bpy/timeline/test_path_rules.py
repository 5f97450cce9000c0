"""Drives, shares, long paths and upper case: Windows' rules and those of everywhere else, asked on any system."""

from __future__ import annotations

import ntpath
import posixpath

import pytest

INSIDE = [
    (ntpath, r"C:\Film\wan\a1", r"C:\Film"),
    (ntpath, r"c:\film\WAN\a1", r"C:\Film"),
    (ntpath, "C:/Film/wan/a1", "C:\\Film\\"),
    (ntpath, r"C:\wan", "C:\\"),
    (ntpath, r"\\NAS\projects\Film\wan", r"\\nas\Projects\film"),
    (ntpath, r"\\nas\projects\wan", r"\\nas\projects"),
    (ntpath, r"\\?\C:\Film\wan", r"C:\Film"),
    (ntpath, r"\\?\UNC\nas\projects\film\wan", r"\\nas\projects\film"),
    (ntpath, r"C:\Film\shots\..\wan", r"C:\Film"),
    (posixpath, "/film/wan/a1", "/film"),
    (posixpath, "/film/wan", "/"),
    (posixpath, "/film/./wan//a1", "/film/"),
]
OUTSIDE = [
    (ntpath, r"C:\Film 2\wan", r"C:\Film"),
    (ntpath, r"D:\Film\wan", r"C:\Film"),
    (ntpath, r"Z:\film\wan", r"\\nas\projects\film"),
    (ntpath, r"\\nas2\projects\film\wan", r"\\nas\projects\film"),
    (ntpath, r"C:\Film", r"C:\film"),
    (ntpath, r"C:\Film\..\Other", r"C:\Film"),
    (ntpath, "", r"C:\Film"),
    (ntpath, r"C:\Film\wan", ""),
    (posixpath, "/Film/wan", "/film"),
    (posixpath, "/film/../other/wan", "/film"),
    (posixpath, "/films/wan", "/film"),
    (posixpath, "\\\\?\\C:\\film", "C:\\"),
]


@pytest.fixture
def path_rules(addon):
    return addon("timeline.path_rules")


@pytest.mark.parametrize(("rules", "path", "folder"), INSIDE)
def test_what_lies_in_a_folder(path_rules, rules, path, folder) -> None:
    assert path_rules.lies_in(path, folder, rules)
    assert not path_rules.lies_in(folder, path, rules)
    relative = rules.relpath(path_rules.plain(path, rules), path_rules.plain(folder, rules))
    assert not relative.startswith(".."), "a strip can keep it relative to there"


@pytest.mark.parametrize(("rules", "path", "folder"), OUTSIDE)
def test_what_does_not(path_rules, rules, path, folder) -> None:
    assert not path_rules.lies_in(path, folder, rules)


def test_the_same_place_in_other_words(path_rules) -> None:
    assert path_rules.are_same(r"\\?\c:\film\a.blend", r"C:\Film\A.blend", ntpath)
    assert path_rules.are_same(r"\\?\UNC\NAS\x\a.blend", "//nas/x/a.blend", ntpath)
    assert not path_rules.are_same(r"Z:\a.blend", r"\\nas\x\a.blend", ntpath)
    assert not path_rules.are_same("", "", ntpath)
    assert not path_rules.are_same("/Film/a.blend", "/film/a.blend", posixpath)


def test_names_are_the_same_in_upper_and_lower_case_where_the_system_says_so(path_rules) -> None:
    names, there = ("0001.png", "0002.png"), ["0001.PNG", "0003.png"]
    assert path_rules.missing(names, there, ntpath) == ["0002.png"]
    assert path_rules.missing(names, there, posixpath) == ["0001.png", "0002.png"]
