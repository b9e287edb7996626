"""The commands that search and look after an index: what they print, their exit codes and their help."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import vecindex
from vecindex.cli import main
from vecindex.encoders.run.encoder import Encoder
from vecindex.values.records import Record

from ..support.commands import MODEL, NO_RECORD, failed, misused, no_index, run

RECORDS = [
    Record("My name is Aun", "aun", {"lang": "en", "year": 2019}),
    Record("Python is good", "python", {"lang": "en", "year": 2021}),
    Record("I love cricket", "cricket"),
    Record("I live in the house", "house"),
]


def rounded(text: str) -> str:
    """``text`` with scores rounded to four digits."""
    return re.sub(r"-?\d\.\d{5,}", lambda number: f"{float(number[0]):.4f}", text)


@pytest.fixture(scope="session")
def stored(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "index"
    with vecindex.open(folder, model=encoder) as index:
        index.add(RECORDS)
    return folder


@pytest.fixture
def index(here: Path, stored: Path) -> Path:
    """The default index of the directory, holding `RECORDS`."""
    return Path(shutil.copytree(stored, here / ".vecindex"))


# --- search, similar, get


@pytest.mark.usefixtures("index")
def test_search_prints_rank_cosine_text_and_key_best_first() -> None:
    assert run("search", "my name") == (
        0,
        "1  0.5415  My name is Aun  [aun]\n"
        "2  0.2592  I live in the house  [house]\n"
        "3  0.1702  I love cricket  [cricket]\n"
        "4  0.0827  Python is good  [python]\n",
        "",
    )


JSON = """\
[
  {
    "rank": 1,
    "key": "aun",
    "score": 0.5415,
    "text": "My name is Aun",
    "metadata": {
      "lang": "en",
      "year": 2019
    }
  },
  {
    "rank": 2,
    "key": "house",
    "score": 0.2592,
    "text": "I live in the house",
    "metadata": {}
  }
]
"""
JSONL = """\
{"rank": 1, "key": "aun", "score": 0.5415, "text": "My name is Aun", "metadata": {"lang": "en", "year": 2019}}
{"rank": 2, "key": "house", "score": 0.2592, "text": "I live in the house", "metadata": {}}
"""
CSV = """\
rank,key,score,text,metadata
1,aun,0.5415,My name is Aun,"{""lang"": ""en"", ""year"": 2019}"
2,house,0.2592,I live in the house,{}
"""


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(("format_", "expected"), [("json", JSON), ("jsonl", JSONL), ("csv", CSV)])
def test_search_prints_formats_for_programs(format_: str, expected: str) -> None:
    code, out, err = run("search", "my name", "-k", "2", "--format", format_)
    assert (code, rounded(out).replace("\r\n", "\n"), err) == (0, expected, "")


@pytest.mark.usefixtures("index")
def test_search_takes_only_records_that_match_the_filter() -> None:
    assert run("search", "my name", "--where", "lang = 'en' and year > 2020") == (
        0,
        "1  0.0827  Python is good  [python]\n",
        "",
    )


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("format_", "nothing"),
    [("text", ""), ("json", "[]\n"), ("jsonl", ""), ("csv", "rank,key,score,text,metadata\n")],
)
def test_search_without_hits_says_so(format_: str, nothing: str) -> None:
    code, out, err = run("search", "my name", "--where", "lang = 'de'", "--format", format_)
    assert (code, out.replace("\r\n", "\n"), err) == (0, nothing, "No record matches.\n")


@pytest.mark.usefixtures("index")
def test_an_invalid_filter_is_refused_with_the_position() -> None:
    assert run("search", "my name", "--where", "lang =") == failed(
        "invalid filter 'lang =', at position 6: expected a value after '=', found the end",
        "Write it like \"lang = 'en' and year >= 2020\".",
    )


@pytest.mark.usefixtures("index")
def test_a_query_that_begins_with_a_dash_follows_two_dashes() -> None:
    assert run("search", "-k", "1", "--", "-k my name")[:2] == (0, "1  0.4986  My name is Aun  [aun]\n")


@pytest.mark.usefixtures("index")
def test_wrong_usage_exits_with_2() -> None:
    assert run("search", "x", "-k", "0") == misused(
        "search [OPTIONS] [QUERY]", "Invalid value for '-k': 0 is not in the range x>=1."
    )
    assert run("search") == misused("search [OPTIONS] [QUERY]", "Missing argument 'QUERY'; or pass --queries FILE.")
    assert run("get", "aun", "--format", "csv") == misused(
        "get [OPTIONS] KEY", "Invalid value for '--format': 'csv' is not one of 'text', 'json'."
    )
    assert run("find")[0] == 2


@pytest.mark.usefixtures("index")
def test_similar_leaves_the_record_itself_out() -> None:
    assert run("similar", "aun", "-k", "2") == (
        0,
        "1  0.2544  I live in the house  [house]\n2  0.1471  I love cricket  [cricket]\n",
        "",
    )
    assert run("similar", "aun", "--where", "lang = 'en'")[1] == "1  0.1286  Python is good  [python]\n"


@pytest.mark.usefixtures("index")
def test_get_prints_the_record() -> None:
    text = 'key       aun\ntext      My name is Aun\nmetadata  {"lang": "en", "year": 2019}\n'
    assert run("get", "aun") == (0, text, "")
    code, out, err = run("get", "aun", "--format", "json")
    expected = {"key": "aun", "text": "My name is Aun", "metadata": {"lang": "en", "year": 2019}}
    assert (code, out, err) == (0, json.dumps(expected, indent=2) + "\n", "")


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("command", ["similar", "get", "delete"])
def test_a_key_without_a_record_is_an_error(command: str) -> None:
    assert run(command, "nobody") == NO_RECORD


@pytest.mark.parametrize("command", ["search x", "similar x", "get x", "delete x", "info", "verify", "compact"])
def test_a_command_without_an_index_says_how_to_make_one(command: str, here: Path) -> None:
    assert run(*command.split()) == no_index(here / ".vecindex")
    assert list(here.iterdir()) == []


def test_an_index_path_that_is_a_file_is_an_error(here: Path) -> None:
    (here / "notes").write_text("not an index\n")
    expected = failed(f"{here / 'notes'} is a file, not the directory of an index", "Name a directory.")
    assert run("add", "--text", "a", "--index", "notes") == expected
    for command in (["search", "a"], ["info"], ["delete", "a"]):
        assert run(*command, "--index", "notes") == no_index(here / "notes")
    assert (here / "notes").read_text() == "not an index\n"


# --- delete, info, verify, compact


@pytest.mark.usefixtures("index")
def test_delete_deletes_all_or_nothing() -> None:
    assert run("delete", "aun", "nobody") == NO_RECORD
    assert run("get", "aun")[0] == 0
    assert run("delete", "aun", "python", "aun") == (0, "", "2 deleted; .vecindex holds 2 records.\n")
    assert run("get", "aun")[0] == 1
    assert run("search", "my name", "-k", "9")[1].count("\n") == 2


@pytest.mark.usefixtures("index")
def test_compact_prints_what_it_freed() -> None:
    run("delete", "aun")
    code, out, err = run("compact")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"1 dead row and 1 cached text removed; [\d,]+ bytes before, [\d,]+ after\.\n", err)
    before, after = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{4,}", err))
    assert before - after == 384 * 4
    assert run("verify") == (0, "3 records, 3 rows: sound\n", "")


@pytest.mark.usefixtures("index")
def test_info_prints_the_facts_about_an_index(encoder: Encoder) -> None:
    code, out, err = run("info", "--format", "json")
    found: dict[str, Any] = json.loads(out)
    assert (code, err, found.pop("bytes") > 4 * 384 * 4) == (0, "", True)
    created = found.pop("created")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", created)
    assert found == {
        **{"path": ".vecindex", "format": 6, "generation": 1, "records": 4, "dead_rows": 0, "tail_rows": 4},
        **{"codes": None, "indexed_fields": [], "truncated": 0},
        **{"tokens_lost": 0, "unknown": 0, "cached_texts": 4, "cache_bytes": 144},
        **{"model": MODEL, "dimension": 384, "max_tokens": 256, "pooling": "mean", "precision": "fp32"},
        **{"fingerprint": encoder.space.fingerprint, "beside": [], "runtime": "onnxruntime"},
        "token_vectors": None,
        "without_vector": 0,
    }
    code, out, err = run("info")
    assert (code, re.sub(r"(?m)^bytes .*\n", "", out), err) == (
        0,
        "path            .vecindex\n"
        "format          6\n"
        f"created         {created}\n"
        "generation      1\n"
        "records         4\n"
        "dead rows       0\n"
        "tail rows       4\n"
        "codes           -\n"
        "indexed fields  -\n"
        "truncated       0\n"
        "tokens lost     0\n"
        "unknown         0\n"
        "cached texts    4\n"
        "cache bytes     144\n"
        f"model           {MODEL}\n"
        "dimension       384\n"
        "max tokens      256\n"
        "pooling         mean\n"
        "precision       fp32\n"
        f"fingerprint     {encoder.space.fingerprint}\n"
        "beside          -\n"
        "runtime         onnxruntime\n"
        "token vectors   -\n"
        "without vector  0\n",
        "",
    )


def test_verify_finds_a_flipped_bit(index: Path) -> None:
    assert run("verify") == (0, "4 records, 4 rows: sound\n", "")
    vectors = index / "vectors-1.f32"
    damaged = bytearray(vectors.read_bytes())
    damaged[3] ^= 0x40  # the exponent of the first number: far too large, and its square overflows float32
    vectors.write_bytes(damaged)
    assert run("verify") == (
        1,
        f"{vectors.resolve()}: the vector of 'aun' (row 0) is not what was written\n"
        f"  To repair it: vecindex verify --repair --index {index.resolve()}\n"
        "4 records, 4 rows: 1 fault\n",
        "",
    )


@pytest.mark.usefixtures("here")
def test_models_lists_the_compiled_model(encoder: Encoder) -> None:
    code, out, err = run("models", "--format", "json")
    assert (code, err) == (0, "")
    (found,) = (each for each in json.loads(out) if (each["model"], each["precision"]) == (MODEL, "fp32"))
    assert found["bytes"] == sum(file.stat().st_size for file in Path(found["folder"]).iterdir())
    assert (found["compiled"], found["dimension"], found["fingerprint"]) == (True, 384, encoder.space.fingerprint)
    assert (
        f"model        {MODEL}\n"
        "state        compiled, ready for search\n"
        "precision    fp32\n"
        "dimension    384\n"
        f"size         {found['bytes']:,} bytes\n"
        "origin       minilm extra\n"
        f"folder       {found['folder']}\n"
        f"weights      {encoder.space.weights}\n"
        f"fingerprint  {found['fingerprint']}\n"
    ) in run("models")[1]


# --- help, pipes


def _all_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), group
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _all_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL_COMMANDS = list(_all_commands(main))
each_command = pytest.mark.parametrize(
    ("name", "command"), ALL_COMMANDS, ids=[name or "vecindex" for name, _ in ALL_COMMANDS]
)


@each_command
def test_help_has_a_summary_that_fits_the_list_of_commands(name: str, command: click.Command) -> None:
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert re.match(r"  [A-Z][a-z]+ .+\.(\n|$)", out.split("\n\n")[1])
    assert not command.get_short_help_str(80 - 8 - max(map(len, main.commands))).endswith("...")


@each_command
def test_help_describes_every_option(name: str, command: click.Command) -> None:
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    assert {"--quiet", "--verbose"} <= {option for each in options for option in each.opts}
    for each in options:
        assert each.help, each.opts
        assert re.search(r"[.\])]$", each.help), each.help


@each_command
def test_help_has_examples_that_can_be_typed(name: str, command: click.Command) -> None:
    examples = re.search(r"  Examples?:\n((?:    .+\n)+)", run(*name.split(), "--help")[1])
    assert examples is not None
    for line in examples[1].splitlines():
        typed = [arguments for arguments in _commands(line) if arguments[0] == "vecindex"]
        assert typed, line
        for _, *words in typed:
            found: click.Command = main
            names: list[str] = []
            while isinstance(found, click.Group) and words:
                found = found.commands[words[0]]
                names.append(words.pop(0))
            # The copy that backup makes is searched like any index.
            assert " ".join(names).startswith(name) or name == "backup"
            found.make_context(names[-1], words)  # a wrong option raises UsageError


def _commands(line: str) -> list[list[str]]:
    """The commands of a pipeline, without redirections."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line.split(" >")[0]):
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


SHELL = [sys.executable, "-c", "from vecindex.cli import main; main(prog_name='vecindex')"]


@pytest.mark.usefixtures("index")
def test_a_closed_pipe_gives_no_traceback() -> None:
    process = subprocess.Popen([*SHELL, "search", "my name"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait() == 1
