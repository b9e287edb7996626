"""What a caller says about how a source is to be read: one form for each, and anything else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import InvalidInput
from vecindex.sources import source
from vecindex.sources.options import ReadOptions, read_options


def test_columns_are_one_name_or_several_in_order() -> None:
    assert read_options() == ReadOptions()
    assert read_options(text_column="title").text_columns == ("title",)
    assert read_options(text_column=["title", "body"]).text_columns == ("title", "body")
    assert read_options(metadata_columns=("lang",)).metadata_columns == ("lang",)
    assert read_options(metadata_columns=[]).metadata_columns == ()
    assert read_options(metadata_columns="lang").metadata_columns == ("lang",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_column": ["a", "b", "a"]}, "text_column names 'a' twice"),
        ({"text_column": ["a", "id"], "key_column": "id"}, "the text and the key cannot both be 'id'"),
        ({"text_column": 3}, "text_column must be a name or several, not int"),
        ({"text_column": [3]}, "a name in text_column must be a string, not int"),
        ({"metadata_columns": b"ab"}, "metadata_columns must be a name or several, not bytes"),
        ({"metadata_columns": {"lang"}}, "metadata_columns must be a name or several, not set"),
        ({"key_column": 3}, "key_column must be a string, not int"),
        ({"types": "int"}, "types is 'int'"),
        ({"errors": "ignore"}, "errors is 'ignore'"),
        ({"encoding": "klingon"}, "the encoding 'klingon' is unknown"),
        ({"encoding": "rot13"}, "the encoding 'rot13' is unknown"),
        ({"encoding": "base64"}, "the encoding 'base64' is unknown"),
        ({"encoding": "a\0b"}, "the encoding 'a\\x00b' is unknown"),
        ({"encoding": 8}, "encoding must be a string, not int"),
        ({"sql": 8}, "sql must be a string, not int"),
        ({"json_path": 8}, "json_path must be a string, not int"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_options(**options)
    assert caught.value.message == message
    assert caught.value.advice


def test_an_encoding_has_one_name() -> None:
    given = ["latin1", "ISO-8859-1", "UTF8", "Windows-1252", "sjis"]
    assert [read_options(encoding=name).encoding for name in given] == [
        *("iso8859-1", "iso8859-1", "utf-8", "cp1252", "shift_jis")
    ]


def test_a_source_holds_its_options(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()

    options = read_options(
        text_column=["title", "body"], key_column="id", errors="replace", sql="select 1", json_path="a.b"
    )
    assert options == ReadOptions(("title", "body"), "id", errors="replace", sql="select 1", json_path="a.b")
    found = source(path, options)
    assert found.options == options
    assert found.options.names_columns
    assert not ReadOptions().names_columns
