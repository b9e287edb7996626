"""What lexical search reads, as JSON and as a fingerprint."""

from __future__ import annotations

import json

import pytest

from vecindex.search.lexical import settings, stemming
from vecindex.search.lexical.settings import LexicalSettings


def test_settings_go_to_json_and_back() -> None:
    for made in (
        LexicalSettings(),
        LexicalSettings(None),
        LexicalSettings("german", (("title", 2.0), ("\u00e4", 0.5))),
    ):
        assert LexicalSettings.from_json(made.to_json()) == made
    assert json.loads(LexicalSettings().to_json()) == {"language": "english", "fields": []}
    assert LexicalSettings.from_json('{"fields":[["title",2]],"language":null}') == LexicalSettings(
        None, (("title", 2.0),)
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{}", '{"language":"english"}', '{"language":"english","fields":[],"more":1}'),
        *('{"language":1,"fields":[]}', '{"language":"klingon","fields":[]}', '{"language":"english","fields":{}}'),
        *('{"language":null,"fields":["title"]}', '{"language":null,"fields":[["title"]]}'),
        *('{"language":null,"fields":[["title",true]]}', '{"language":null,"fields":[["title","2"]]}'),
        *('{"language":null,"fields":[["title",0]]}', '{"language":null,"fields":[["title",-1]]}'),
        *('{"language":null,"fields":[["title",NaN]]}', '{"language":null,"fields":[["title",1e400]]}'),
        '{"language":null,"fields":[["title",1' + "0" * 400 + "]]}",
        '{"language":null,"fields":[["title",1],["title",2]]}',
        json.dumps({"language": None, "fields": [[str(i), 1] for i in range(17)]}),
        "[" * 100_000,
    ],
)
def test_json_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        LexicalSettings.from_json(text)


def test_the_fingerprint_changes_with_what_changes_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    made = LexicalSettings()
    seen = {made.fingerprint(), LexicalSettings("german").fingerprint(), LexicalSettings(None).fingerprint()}
    seen.add(LexicalSettings(fields=(("title", 2.0),)).fingerprint())
    assert LexicalSettings().fingerprint() in seen
    plain = LexicalSettings(None).fingerprint()
    monkeypatch.setattr(stemming, "version", lambda: "another")
    seen.add(made.fingerprint())
    assert LexicalSettings(None).fingerprint() == plain
    monkeypatch.setattr(settings, "ANALYSIS", 0)
    seen.add(made.fingerprint())
    assert len(seen) == 6


def test_texts_of_a_record_are_its_text_and_its_fields() -> None:
    made = LexicalSettings(fields=(("title", 2.0), ("tags", 1.5)))
    assert made.weights == (1.0, 2.0, 1.5)
    assert made.texts("text", {"title": "a title", "tags": ["one", 2, None, ["deep"]], "other": "x"}) == (
        *("text", "a title", "one\n2\n"),
    )
    assert made.texts("text", {"title": {"a": "b"}, "tags": True}) == ("text", "", "")
    assert made.texts("text", {}) == ("text", "", "")
