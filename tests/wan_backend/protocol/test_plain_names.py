"""Names, folders and ids that strangers may have written, on each system's rules: plain functions, no disk."""

from __future__ import annotations

import pytest

from wan_backend.protocol.plain_names import is_below, is_folder, is_id, is_name

BOTH = ["0001.png", "take.json", "ä ö.png", "..hidden", "a..b", " x", "NULL", "console.png", "COM10", "nulls.txt"]
NEITHER = ["", ".", "..", "a/b", "../a", "/a", "a\0", "a\0.png", "x" * 256, "\ud800.png", 7, None, ["a"]]
NOT_ON_WINDOWS = [
    *(
        "a\\b",
        "..\\a",
        "C:",
        "C:a",
        "a:b",
        "a.png:stream",
        "a.",
        "a ",
        "a. .",
        "a\n",
        "a\x7f",
        "a?",
        "a*",
        "a<",
        "a|",
        '"',
    ),
    *("CON", "con", "nul.txt", "NUL .png", "Aux.tar.gz", "prn", "COM1", "com9.x", "LPT¹", "LPT0", "CONIN$", "CLOCK$.a"),
]


@pytest.mark.parametrize("name", BOTH)
def test_a_name_is_one(name) -> None:
    assert is_name(name, windows=False) and is_name(name, windows=True)


@pytest.mark.parametrize("name", NEITHER, ids=repr)
def test_a_path_is_no_name(name) -> None:
    assert not is_name(name, windows=False) and not is_name(name, windows=True)


@pytest.mark.parametrize("name", NOT_ON_WINDOWS, ids=repr)
def test_what_windows_takes_for_something_else_is_no_name_there(name) -> None:
    assert is_name(name, windows=False) and not is_name(name, windows=True)


@pytest.mark.parametrize(
    ("folder", "posix", "windows"),
    [
        ("/film/wan", True, False),
        ("/", True, False),
        ("/film//wan/", True, False),
        ("//film/wan", False, True),  # a share there; here, what the .blend's own folder is written as
        ("/film/../etc", False, False),
        ("/film/./wan", False, False),
        ("film", False, False),
        ("", False, False),
        ("/a\0b", False, False),
        ("/" + "a/" * 3000, False, False),
        (None, False, False),
        ("C:\\film\\wan", False, True),
        ("c:/film/wan", False, True),
        ("C:\\", False, True),
        ("C:wan", False, False),
        ("\\wan", False, False),
        ("C:\\film\\..\\Windows", False, False),
        ("C:\\film\\wan.", False, False),
        ("C:\\film\\wan ", False, False),
        ("C:\\film\\NUL", False, False),
        ("C:\\film\\a:b", False, False),
        ("\\\\nas\\share\\film", False, True),
        ("\\\\nas", False, False),
        ("\\\\?\\C:\\film", False, False),
        ("\\\\.\\C:\\film", False, False),
        ("//?/C:/film", False, False),
        ("1:\\film", False, False),
    ],
)
def test_a_folder_is_said_plainly(folder, posix, windows) -> None:
    assert (is_folder(folder, windows=False), is_folder(folder, windows=True)) == (posix, windows)


@pytest.mark.parametrize(
    ("path", "root", "windows", "below"),
    [
        ("/film/wan", "/film", False, True),
        ("/film", "/film", False, True),
        ("/film2", "/film", False, False),
        ("/film/../etc", "/film", False, False),
        ("/Film/wan", "/film", False, False),
        ("/film/wan", "film", False, False),
        ("/film", "/", False, True),
        ("C:\\Film\\WAN", "c:/film", True, True),
        ("C:\\FILM\\Ä", "c:\\film\\ä", True, True),
        ("D:\\film", "C:\\film", True, False),
        ("C:\\film2", "C:\\film", True, False),
        ("C:\\film\\..\\x", "C:\\film", True, False),
        ("C:\\film \\x", "C:\\film", True, False),
        ("C:\\film.\\x", "C:\\film", True, False),
        ("C:\\\u212aern", "C:\\kern", True, False),  # the Kelvin sign: another name to NTFS
        ("C:\\\u017fet", "C:\\set", True, False),
        ("\\\\NAS\\Share\\x", "\\\\nas\\share", True, True),
        ("\\\\other\\share\\x", "\\\\nas\\share", True, False),
        ("\\\\?\\C:\\film\\x", "C:\\film", True, False),
    ],
)
def test_below_is_below(path, root, windows, below) -> None:
    assert is_below(path, [root], windows) is below


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a" * 31,
        "a" * 33,
        "A" * 32,
        "a" * 31 + "\n",
        "a" * 32 + "\n",
        "../" + "a" * 29,
        "g" * 32,
        7,
        None,
        b"a" * 32,
    ],
)
def test_an_id_is_32_hexadecimal_digits(value) -> None:
    assert not is_id(value)
    assert is_id("0123456789abcdef" * 2)
