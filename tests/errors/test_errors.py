"""Every error is raised by a real cause, and says in one line what is wrong, where, and what to do."""

from __future__ import annotations

import ast
import os
import pickle
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import errors, sources
from vecindex.encoders.run.pooling import FloatArray
from vecindex.encoders.run.tokenized import IntArray
from vecindex.errors import MissingExtra, ServerError, VecindexError
from vecindex.search.dense import load_faiss
from vecindex.store.disk.lock import WriterLock

from ..support.helpers import opened, sql
from ..support.places import PROJECT
from ..support.toy import BareEncoder, ToyEncoder


def tree(root: type[VecindexError] = VecindexError) -> set[type[VecindexError]]:
    return {root} | {leaf for child in root.__subclasses__() for leaf in tree(child)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "i"
    with opened(path) as index:
        index.add(["one", "two"], keys=["a", "b"])
    return path


# --- every class has a real cause ------------------------------------------------------------------------------------


def no_index(folder: Path) -> None:
    opened(folder.parent / "none", create=False)


def no_record(folder: Path) -> None:
    with opened(folder) as index:
        index.get("nobody")


def changed_since(folder: Path) -> None:
    with opened(folder) as index:
        cursor = index.search("one two", 1, mode="lexical").cursor
        index.add(["three"])
        index.search("one two", mode="lexical", cursor=cursor)


def bad_input(folder: Path) -> None:
    with opened(folder) as index:
        index.add("one text")


def too_long(folder: Path) -> None:
    with opened(folder) as index:
        index.add(["one", "word " * 40], keys=["c", "d"], on_long="error")


def without_token(folder: Path) -> None:
    with opened(folder, model=BareEncoder()) as index:
        index.add(["three", "~"], keys=["c", "d"])


def bad_filter(folder: Path) -> None:
    with opened(folder) as index:
        index.search("one", where="lang =\n 'en")


def bad_source(folder: Path) -> None:
    (folder.parent / "notes.csv").write_text('text\n"never closed\n')
    list(sources.read(sources.source(str(folder.parent / "notes.csv"))))


def no_model(folder: Path) -> None:
    with opened(folder.parent / "new", model="no/such-model", offline=True) as index:
        index.add(["one"])


def bad_model(folder: Path) -> None:
    (folder.parent / "model").mkdir()
    (folder.parent / "model" / "modules.json").write_text("[]")
    vecindex.load_encoder(folder.parent / "model", offline=True)


def other_space(folder: Path) -> None:
    with opened(folder, model=ToyEncoder(weights="v" * 64)) as index:
        index.search("one")


def held(folder: Path) -> None:
    with WriterLock(folder, 0), opened(folder) as index:
        index.delete(["a"])


def other_format(folder: Path) -> None:
    sql(folder, "update manifest set format = 7")
    opened(folder)


def damaged(folder: Path) -> None:
    (folder / "vectors-1.f32").unlink()
    with opened(folder) as index:
        index.search("one")


def refused(folder: Path) -> None:
    with opened(folder) as index:
        folder.rename(folder.parent / "aside")
        index.delete(["a"])


def no_memory(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    load_faiss._loaded.cache_clear()  # it may be loaded; what it would take must be there all the same
    resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20, before[1]))
    try:
        load_faiss.load_faiss()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Overflowing(ToyEncoder):
    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        return np.full_like(super().forward(input_ids, attention_mask), np.nan)


def not_finite(folder: Path) -> None:
    Overflowing().encode(["one"])


# The fields and the beginning of each error; {f} is the index's folder, and {d} its parent.
CAUSES: dict[type[VecindexError], tuple[Callable[[Path], None], dict[str, Any], str]] = {
    errors.IndexNotFound: (no_index, {"path": "{d}/none"}, "there is no index at {d}/none. Create one with"),
    errors.RecordNotFound: (
        no_record,
        {"key": "nobody"},
        "no record has the key 'nobody'. Use index.keys()",
    ),
    errors.InvalidInput: (
        bad_input,
        {},
        "records is a single str, not a sequence. Pass a list with one item for each text.",
    ),
    errors.TextTooLong: (
        *(too_long, {"item": 1, "key": "d", "tokens": 41, "limit": 32, "model": "toy"}),
        "item 1, 'd': the text 'word word word word word word word word '... has 41 tokens, and toy reads only 32. Sh",
    ),
    errors.TextWithoutToken: (
        *(without_token, {"item": 1, "key": "d", "text": "~", "prompted": False}),
        "item 1, 'd': the text '~' has no tokens. This model adds no tokens of its own: leave",
    ),
    errors.InvalidFilter: (
        *(bad_filter, {"expression": "lang =\n 'en"}),
        r"""invalid filter "lang =\n 'en", at position""",
    ),
    errors.SourceError: (bad_source, {"path": "{d}/notes.csv"}, "{d}/notes.csv:"),
    errors.ModelNotFound: (
        *(no_model, {"model": "no/such-model"}),
        "the model no/such-model was not found; tried: the folder no/such-model (does not exist); ",
    ),
    errors.UnsupportedModel: (
        *(bad_model, {"model": "{d}/model"}),
        "the model {d}/model is not supported: its modules are none; supported: ",
    ),
    errors.SpaceMismatch: (
        *(other_space, {"differs": "weights: " + "w" * 12 + " / " + "v" * 12}),
        "the index holds vectors of toy (16 dimensions, fp32, fingerprint ",
    ),
    errors.IndexLocked: (
        *(held, {"path": "{f}", "pid": os.getpid(), "host": os.uname().nodename, "waited": 0}),
        f"{{f}} is being written by process {os.getpid()} on {os.uname().nodename} (for 0 s so far); waited 0.0 s. Try",
    ),
    errors.IncompatibleFormat: (
        *(other_format, {"path": "{f}", "found": 7, "supported": 6}),
        "{f} has format 7; this version reads format 6. Run: pip install --upgrade vecindex",
    ),
    errors.CorruptIndex: (
        *(damaged, {"path": "{f}/vectors-1.f32", "reason": "it is missing; 2 rows need it"}),
        "{f}/vectors-1.f32 is damaged: it is missing; 2 rows need it. Restore it",
    ),
    errors.StorageError: (
        *(refused, {"path": "{f}/vecindex.db"}),
        "{f}/vecindex.db cannot be used: it was removed or replaced after it was opened.",
    ),
    errors.CursorExpired: (
        *(changed_since, {"made": 1, "now": 2}),
        "the cursor of commit 1 has expired at commit 2: only a dense search without groups, diversity and rerank",
    ),
    errors.OutOfMemory: (
        *(no_memory, {"doing": "FAISS was loaded"}),
        "memory ran out while FAISS was loaded. Raise the memory limit of this process",
    ),
    errors.EncodingFailed: (
        not_finite,
        {},
        "the texts could not be encoded: toy in fp32 computes",
    ),
}


def test_the_causes_cover_the_whole_tree() -> None:
    # MissingExtra has a test of its own, in a process where torch cannot be imported; ServerError those of the client.
    assert {*CAUSES} | {VecindexError, MissingExtra, ServerError} == tree()
    assert {error.__name__ for error in tree()} == {n for n in vecindex.__all__ if hasattr(errors, n)}


@pytest.mark.parametrize("kind", CAUSES, ids=lambda kind: kind.__name__)
def test_a_real_cause_raises_it_with_fields_message_and_advice_in_one_line(
    folder: Path, kind: type[VecindexError]
) -> None:
    cause, fields, text = CAUSES[kind]

    def filled(value: Any) -> Any:
        return value.replace("{f}", str(folder)).replace("{d}", str(folder.parent)) if isinstance(value, str) else value

    with pytest.raises(VecindexError) as caught:
        cause(folder)
    error = caught.value
    assert type(error) is kind
    assert {name: getattr(error, name) for name in fields} == {k: filled(v) for k, v in fields.items()}
    assert str(error).startswith(filled(text))
    assert str(error) == f"{error.message}. {error.advice}"
    assert "\n" not in str(error)
    assert error.message
    assert error.advice
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_a_model_that_must_be_compiled_without_torch_is_a_missing_extra(minilm: Path, tmp_path: Path) -> None:
    code = (
        "import sys, vecindex\n"
        "sys.modules['torch'] = None\n"
        "try:\n    vecindex.load_encoder(sys.argv[1])\n"
        "except vecindex.MissingExtra as error:\n    print(repr(error.extra), error)\n"
    )
    environment = os.environ | {"VECINDEX_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code, str(minilm)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr) == (
        f"'' compiling {minilm} (import of torch halted; None in sys.modules) needs packages that are not installed. "
        "Run: pip install vecindex\n",
        "",
    )


def test_missing_extra_names_the_exact_command() -> None:
    error = pickle.loads(pickle.dumps(MissingExtra("server", "the server")))
    assert (error.extra, error.needed_for) == ("server", "the server")
    assert str(error) == "the server needs the extra 'server'. Run: pip install 'vecindex[server]'"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        *((errors.RecordNotFound, LookupError), (errors.InvalidInput, ValueError), (errors.InvalidFilter, ValueError)),
        (errors.OutOfMemory, MemoryError),
    ],
)
def test_some_errors_are_also_builtin_errors(kind: type[VecindexError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_an_error_can_be_pickled_between_processes() -> None:
    code = "import pickle, sys; from vecindex.errors import *; sys.stdout.buffer.write(pickle.dumps({}))"
    made = 'SourceError("notes.csv", 7, "a quote is never closed")'
    done = subprocess.run([sys.executable, "-c", code.format(made)], cwd=PROJECT, capture_output=True, check=True)
    error = pickle.loads(done.stdout)
    assert (error.path, error.line, error.reason) == ("notes.csv", 7, "a quote is never closed")
    assert error.message == "notes.csv:7: a quote is never closed"


def test_a_path_with_a_line_feed_gives_a_message_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(errors.IndexNotFound) as caught:
        opened(tmp_path / "two\nlines", create=False)
    assert "\n" not in str(caught.value)


# --- advice for Python and for the command line


def test_advice_names_arguments_in_python_and_options_on_the_command_line(folder: Path) -> None:
    error = errors.SpaceMismatch("a", "b")
    assert error.advice == "Leave model= out to use the index's own model, or add to another index."
    assert error.command_advice == (
        "Leave --model out to use the index's own model, or add to another index with --index DIR."
    )
    assert str(error).endswith(f"not of b. {error.advice}")
    assert pickle.loads(pickle.dumps(error)).command_advice == error.command_advice
    assert errors.EncodingFailed("no", "Wait.").command_advice == "Wait."


@pytest.mark.parametrize("kind", CAUSES, ids=lambda kind: kind.__name__)
def test_advice_for_python_names_no_option(folder: Path, kind: type[VecindexError]) -> None:
    with pytest.raises(VecindexError) as caught:
        CAUSES[kind][0](folder)
    advice = re.sub(r"pip install [^;.]*", "", caught.value.advice)
    assert not re.search("--[a-z]|`vecindex ", advice)


def test_only_typed_advice_names_options_and_commands() -> None:
    """Outside the command line a string names an option only as the second wording of an `Advice`."""
    package = Path(vecindex.__file__).parent
    told = []
    for path in package.rglob("*.py"):
        if path.is_relative_to(package / "cli") or path.is_relative_to(package / "serve"):
            continue  # a server is only started by its command
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typed = {
            id(inner)
            for node in ast.walk(tree)
            if (isinstance(node, ast.keyword) and node.arg == "typed")
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "typed")
            for inner in ast.walk(node)
        }
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in typed | documents:
                text = re.sub(r"pip install [^;.]*", "", node.value)
                if re.search(r"(^|[ (])--[a-z]|vecindex (add|search|import|export|verify|models|migrate)\b", text):
                    told.append((str(path.relative_to(package)), node.value))
    # How a container's image is filled is said in its own language, that of commands.
    assert {(place, text) for place, text in told if "VECINDEX_CACHE" not in text} == COMMAND_LINES


COMMAND_LINES = {
    # What repairs a fault is a line for a shell, and documented as such; the others become second wordings.
    *(("store/soundness/faults.py", line) for line in ("verify --repair", "verify --repair --encode", " --index ")),
    *(("index/reader.py", line) for line in ("migrate --anew", "migrate --anew --device cuda")),
    ("sources/opening/detect.py", " --format "),
    # Commands of other programs.
    ("sources/office/pdf.py", "Save it without one, for example with qpdf --decrypt."),
    (
        "errors/warnings.py",
        "To find their text, recognise it first, for example with: ocrmypdf --skip-text IN.pdf OUT.pdf",
    ),
}
