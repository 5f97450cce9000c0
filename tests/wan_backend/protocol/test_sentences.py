"""Sentences: they read as English, travel whole, are translated with their values, and nothing hostile in them runs."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.protocol import sentences
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.envelope import Response
from wan_backend.protocol.errors import INTERNAL_ERROR, ProtocolError, Refusal
from wan_backend.protocol.messages import Plan, Problem, ProblemKind
from wan_backend.protocol.sentences import MAX_CHARACTERS, NO_SENTENCE, Sentence

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
GONE = Sentence(
    "The {kind} {file} is gone; {advice}.", kind=Sentence("movie"), file="a.mp4", advice=Sentence("put it back")
)
GERMAN = {
    "The {kind} {file} is gone; {advice}.": "{advice}, denn {file} ({kind}) fehlt.",
    "movie": "Film",
    "put it back": "zurücklegen",
}


def german(template: str) -> str:
    return GERMAN.get(template, template)


def test_a_sentence_reads_as_english() -> None:
    assert GONE == "The movie a.mp4 is gone; put it back." and isinstance(GONE, str)
    assert str(GONE) is GONE and f"{GONE}" == GONE and "a.mp4" in GONE and hash(GONE) == hash(str.__str__(GONE))
    assert json.dumps([GONE]) == '["The movie a.mp4 is gone; put it back."]'


def test_a_sentence_is_translated_with_the_sentences_in_it() -> None:
    assert GONE.rendered(german) == "zurücklegen, denn a.mp4 (Film) fehlt."
    assert GONE.rendered(lambda template: template) == GONE


def test_a_sentence_is_never_changed_and_is_copied_whole() -> None:
    with pytest.raises(AttributeError):
        GONE.template = "other"
    for copied in (copy.deepcopy(GONE), pickle.loads(pickle.dumps(GONE))):
        assert copied == GONE and copied.rendered(german) == GONE.rendered(german)


def test_it_travels_as_template_and_values_and_as_a_string_without_any() -> None:
    sent = to_json(Problem(ProblemKind.BAD_SOURCE, GONE))
    assert sent["sentence"] == {
        "template": "The {kind} {file} is gone; {advice}.",
        "values": {"kind": {"template": "movie"}, "file": "a.mp4", "advice": {"template": "put it back"}},
    }
    received = from_json(Problem, json.loads(json.dumps(sent)))
    assert received.sentence == GONE and received.sentence.rendered(german) == GONE.rendered(german)
    assert to_json(Problem(ProblemKind.BUSY, Sentence("Wait.")))["sentence"] == "Wait."


def test_a_clause_with_values_travels_as_a_sentence() -> None:
    inner = Sentence("it has {count} frames", count=3)
    sent = json.loads(json.dumps(to_json(Sentence("{file}: {why}", file="a", why=inner))))
    loud = {"{file}: {why}": "{why} IN {file}", "it has {count} frames": "{count} FRAMES"}
    assert from_json(Sentence, sent).rendered(lambda text: loud[text]) == "3 FRAMES IN a"


@pytest.mark.parametrize("old", ["Step 3 of 8", "", "100 % {of} it", "%s {0.__class__}"])
def test_a_plain_string_of_an_earlier_version_is_a_sentence_without_values(old: str) -> None:
    found = from_json(Sentence, old)
    assert found == old and not found.values and found.rendered(german) == old


@pytest.mark.parametrize(
    "wrong",
    [
        *(7, None, [], {"template": 3}, {"values": {}}, {"template": "x", "values": [1]}),
        *({"template": "x", "values": {"a": 7}}, {"template": "x", "values": {"a": {"template": 1}}}),
    ],
)
def test_what_is_no_sentence_is_named(wrong: object) -> None:
    with pytest.raises(ProtocolError, match="must be a string, or an object"):
        from_json(Sentence, wrong)


@pytest.mark.parametrize(
    "template",
    [
        "%(file)s %s %999999999d %n %", "{file.__class__.__mro__} {file[0]} {file!r:>999999999}", "{} {0} {",
        "}{{file}}", "{missing}", "{file" * 1000, "\ud800 {file}", "\0{file}",
    ],
)  # fmt: skip
def test_a_hostile_template_only_has_names_replaced(template: str) -> None:
    made = from_json(
        Sentence, {"template": template, "values": {"file": "{file}{other}%s", "other": "x", "__class__": "y"}}
    )
    assert made == template.replace("{file}", "{file}{other}%s")
    assert made.rendered(str) == made


def test_a_sentence_that_would_never_end_is_cut() -> None:
    wire: object = "x" * 1000
    for _ in range(30):
        wire = {"template": "{a}" * 1000, "values": {"a": wire}}
    made = from_json(Sentence, wire)
    assert len(made) <= MAX_CHARACTERS and len(made.rendered(str)) <= MAX_CHARACTERS
    assert len(Sentence("{a}" * 10, a="y" * 10 * MAX_CHARACTERS)) == MAX_CHARACTERS


@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_whatever_comes_is_read_and_comes_back(template: str, values: dict[str, str]) -> None:
    made = from_json(Sentence, {"template": template, "values": values})
    made.rendered(str)
    again = from_json(Sentence, to_json(made))
    assert again == made and (not values or dict(again.values) == dict(made.values))


def test_joined_sentences_are_translated_one_by_one() -> None:
    done = Sentence.joined([Sentence("Done."), Sentence("movie"), GONE])
    assert done == f"Done. movie {GONE}" and done.rendered(german).startswith("Done. Film zur")
    assert done.without_first("Done.") == f"movie {GONE}"
    assert Sentence("Done. An old note.").without_first("Done.") == "An old note."
    assert Sentence("Done.").without_first("Done.") == ""


def test_clauses_and_sentences_share_a_translation() -> None:
    shout = {"movie of {name}.": "FILM: {name}。", "it": "ES"}
    of = Sentence("movie of {name}.", name="x").unended()
    assert of == "movie of x" and of.rendered(lambda text: shout.get(text, text)) == "FILM: x"
    large = Sentence("{what} stops", what=Sentence("it")).capitalized()
    assert large == "It stops" and large.rendered(lambda text: shout.get(text, text)) == "ES stops"


def test_a_long_sentence_is_cut_in_english() -> None:
    assert GONE.within(100) is GONE and GONE.within(9) == "The movie" and not GONE.within(9).values


def test_an_error_keeps_the_sentence_it_was_made_with() -> None:
    assert Sentence("Failed: {error}", error=ValueError(GONE)).rendered(german) == f"Failed: {GONE.rendered(german)}"


@pytest.mark.parametrize("error", [Refusal.of(ProblemKind.BUSY, GONE), ProtocolError(INTERNAL_ERROR, GONE)])
def test_an_errors_message_arrives_as_a_sentence(error: ProtocolError) -> None:
    sent = json.loads(Response.failure(1, error).line())["error"]
    assert sent["message"] == GONE
    received = ProtocolError.received(sent["code"], sent["message"], sent["data"])
    assert received.message == GONE and received.message.template == GONE.template


def test_the_doctors_json_is_in_english() -> None:
    assert sentences.in_english(to_json([Problem(ProblemKind.BUSY, GONE)]))[0]["sentence"] == GONE
    assert sentences.in_english(to_json(GONE)) == GONE
    assert sentences.in_english({"template": 1, "values": 2}) == {"template": 1, "values": 2}


def test_a_field_that_says_nothing_is_empty() -> None:
    assert NO_SENTENCE == "" and Plan.__dataclass_fields__["memory"].default is NO_SENTENCE
