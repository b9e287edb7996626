"""Checks the layout: commands start at once, imports go down only, a library has one door, tests mirror the package."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.values.keys import derive_key

from .support.imports import PACKAGE, Import, imports, modules

TESTS = Path(__file__).parent

# From the ground up. A module imports from its own floor or from below; the graph as a whole has no cycle.
FLOORS: list[tuple[str, ...]] = [
    ("errors", "machine", "values", "filters"),
    ("sources",),
    ("encoders",),
    ("store",),
    ("search", "exchange"),
    ("index",),
    ("evaluate",),
    ("cli", "serve", "integrations", "__main__"),
]
"""Each name stands for a module, or for all that is within a folder; the longest name that fits counts."""
TOP = len(FLOORS) - 1
DOORS: dict[str, tuple[str, ...]] = {
    "click": ("cli",),
    "watchfiles": ("machine.watch",),
    "httpx": ("serve.client",),
    "chardetng_py": ("sources.opening.encodings",),
    "backports": ("sources.opening.compression",),
    "pathspec": ("sources.walk.patterns",),
    "numpy": (
        *("encoders", "store", "search", "exchange", "index", "evaluate"),
        *("values.records", "values.arrays", "values.repeats", "serve", "integrations.haystack"),
    ),
    "langchain_core": ("integrations.langchain",),
    "faiss": ("search.dense.load_faiss",),
    "pyarrow": ("exchange.parquet", "sources.rows.arrow"),
    "pandas": ("values.hits",),
    "sqlite_utils": ("store.sql.schema",),
    "markdown_it": ("sources.prose.markdown",),
    "lxml": ("sources.html.page",),
    "yaml": ("sources.prose.front_matter",),
    "tomli": ("sources.prose.front_matter",),
    "ir_measures": ("evaluate.relevance",),
    "onnxruntime": ("encoders.run.onnx",),
    "tokenizers": ("encoders.run.text_tokenizer", "encoders.run.onnx", "encoders.cross.pair_tokenizer"),
    "safetensors": ("encoders.config.weights",),
    "sentencex": ("sources.split.sentences",),
    "Stemmer": ("search.lexical.stemming",),
    "torch": (
        *("encoders.run.torch", "encoders.run.cuda", "encoders.compile.export", "encoders.compile.export_attention"),
        *("encoders.config.complete", "encoders.cross.torch"),
    ),
    "transformers": (
        *("encoders.run.torch", "encoders.compile.export_attention"),
        *("encoders.config.complete", "encoders.config.remote_code"),
    ),
    "sentence_transformers": ("encoders.run.torch", "encoders.cross.torch"),
    "huggingface_hub": ("encoders.locate.hub",),
    "pypdfium2": ("sources.office.pdf_pages",),
    "llama_index": ("integrations.llama_index",),
    "mcp": ("integrations.mcp.server", "integrations.mcp.running"),
    "mcp_types": ("integrations.mcp.server",),
    "haystack": ("integrations.haystack",),
    "pydantic": ("integrations.mcp.server", "integrations.mcp.arguments", "serve"),
    "pydantic_core": ("serve.schemas",),
    "typing_extensions": ("integrations.mcp.answers",),
    "anyio": ("integrations.mcp.server", "integrations.mcp.running"),
    "uvicorn": ("integrations.mcp.running", "serve"),
    **dict.fromkeys(("fastapi", "starlette", "prometheus_client", "h11"), ("serve",)),
    "onnx": tuple(f"encoders.compile.{name}" for name in ("quantise", "bias_folding", "token_layout", "graph_uses")),
}
"""A library, and the modules or folders that may import it."""
LAZY = (
    "pypdfium2",
    "httpx",
    *("faiss", "pyarrow", "pandas", "sqlite_utils", "huggingface_hub", "safetensors"),
    *("markdown_it", "lxml", "yaml", "tomli", "sentencex", "watchfiles"),
    *("chardetng_py", "backports", "pathspec", "Stemmer", "ir_measures"),
    *(".encoders.run.onnx", ".encoders.run.torch", ".encoders.run.cuda"),
    *(".encoders.cross.onnx", ".encoders.cross.torch"),
    *(
        ".encoders.compile.quantise",
        ".encoders.compile.bias_folding",
        ".encoders.compile.token_layout",
        ".encoders.compile.export",
    ),
)
"""Imported when they are needed, by a function; not with the module."""
LAZY_EXCEPTIONS = {
    ("encoders.compile.export", ".encoders.run.onnx"),  # it names its output as the runtime reads it
    ("encoders.compile.export", ".encoders.run.torch"),
    ("encoders.compile.export", ".encoders.cross.onnx"),
    ("encoders.compile.export", ".encoders.cross.torch"),
    ("encoders.cross.onnx", ".encoders.run.onnx"),  # whose graph it runs
    ("encoders.cross.torch", ".encoders.run.torch"),
    ("encoders.run.cuda", ".encoders.run.torch"),  # the reference that loads the model
}


def within(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def floor(module: str) -> int:
    fitting = [(len(name), number) for number, names in enumerate(FLOORS) for name in names if within(module, name)]
    return max(fitting)[1]


def readers_loaded_by(code: str, *arguments: str) -> list[str]:
    """Our modules that read files, of those that a new process loads by running ``code``."""
    program = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "print(*(name for name in sys.modules if name.startswith('vecindex.sources.')), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return ran.stderr.splitlines()[-1].split()


def loaded_by(code: str, *arguments: str) -> set[str]:
    """The top-level modules, neither the standard library's nor ours, that a new process loads by running ``code``."""
    program = (
        f"import sys; before = set(sys.modules)\ntry:\n    {code}\nexcept SystemExit as end:\n"
        "    assert end.code in (0, None), end.code\n"
        "print(*{n.partition('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stderr.splitlines()[-1].split()) - {"vecindex"}


COMMAND = "from vecindex.cli import main; main()"


# --- what a process loads


def test_help_loads_click_alone() -> None:
    assert loaded_by(COMMAND, "--help") == {"click"}
    assert loaded_by(COMMAND, "search", "--help") == {"click"}
    assert loaded_by(COMMAND, "serve", "--help") == {"click"}


def test_importing_the_package_loads_nothing() -> None:
    assert loaded_by("import vecindex") == set()
    assert loaded_by("import vecindex; vecindex.VecindexError, vecindex.Record, dir(vecindex)") == set()


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> str:
    path = str(tmp_path / "index")
    with vecindex.open(path, model=encoder) as opened:
        opened.add(["one"])
    return path


def test_a_search_loads_the_fast_runtime_alone(index: str) -> None:
    assert loaded_by(COMMAND, "search", "one", "--index", index) == {"click", "numpy", "onnxruntime", "tokenizers"}
    assert readers_loaded_by(COMMAND, "search", "one", "--index", index) == []


@pytest.mark.parametrize("command", ["add --text one", "get KEY", "similar KEY", "info", "verify"])
def test_what_needs_no_encoder_loads_none(command: str, index: str) -> None:
    arguments = [derive_key("one") if word == "KEY" else word for word in command.split()]
    assert loaded_by(COMMAND, *arguments, "--index", index) == {"click", "numpy"}


def test_every_public_name_is_there_and_is_what_type_checkers_see() -> None:
    for name in vecindex.__all__:
        assert getattr(vecindex, name).__name__ == name
    declared = {
        node.names[0].asname
        for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    assert declared == set(vecindex.__all__)
    with pytest.raises(AttributeError, match="module 'vecindex' has no attribute 'nothing'"):
        _ = vecindex.nothing


# --- the graph


def ours() -> list[Import]:
    """Imports of one module of ours by another; the package itself only hands names on and is asked its version."""
    return [each for each in imports() if each.target.startswith(".") and each.module and each.target != "."]


def test_the_package_itself_imports_nothing_of_its_own_when_it_is_imported() -> None:
    assert {each.target for each in imports() if each.module == "" and not each.typing_only} == {
        *("__future__", "importlib", "typing"),
    }
    assert {each.module for each in imports() if each.target == "."} == {"cli", "cli.commands.serving.mcp", "serve.app"}


def test_every_module_stands_on_a_floor_and_imports_only_from_there_down() -> None:
    assert all(floor(name) >= 0 for name in modules() if name)
    assert [each for each in ours() if floor(each.target[1:]) > floor(each.module)] == []
    # Every floor that is built is used: an empty list above must not mean that nothing was read.
    assert {floor(each.module) - floor(each.target[1:]) for each in ours()} >= {0, 1, 2, 3, 4}


def test_imports_have_no_cycle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules() if name}
    for each in ours():
        graph[each.module].add(each.target[1:])
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def arrows() -> dict[str, set[str]]:
    """For each name at the top of the package, the others there that it imports from."""
    found: dict[str, set[str]] = {name.partition(".")[0]: set() for name in modules() if name}
    for each in ours():
        source, target = each.module.partition(".")[0], each.target[1:].partition(".")[0]
        if source != target:
            found[source].add(target)
    return found


def picture() -> str:
    """The floors from the top down, and what each name there imports from. ``python -m tests.test_house`` shows it."""
    lines = []
    for number in reversed(range(len(FLOORS))):
        lines.append(f"floor {number}")
        names = [name for name in arrows() if floor(name) == number]
        lines += [f"    {name:<10} -> {', '.join(sorted(arrows()[name])) or '-'}" for name in names]
    return "\n".join(lines) + "\n"


def test_top_folders_have_no_cycle_and_the_picture_shows_each() -> None:
    TopologicalSorter(arrows()).prepare()
    shown = [line.split() for line in picture().splitlines() if " -> " in line]
    assert sorted(words[0] for words in shown) == sorted(arrows())
    assert ["filters", "->", "errors,", "values"] in shown


def test_files_and_folders_are_small() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for top in (PACKAGE, TESTS)
        for path in top.rglob("*.py")
    }
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}
    names = [path for path in PACKAGE.iterdir() if not path.name.startswith("__")]
    assert len(names) <= 16
    folders = Counter(path.parent for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
    assert {str(folder): count for folder, count in folders.items() if count > 15} == {}


def test_every_library_has_its_door() -> None:
    third_party = [
        each for each in imports() if not each.target.startswith(".") and each.target not in sys.stdlib_module_names
    ]
    elsewhere = [
        each for each in third_party if not any(within(each.module, door) for door in DOORS.get(each.target, ()))
    ]
    assert elsewhere == []
    assert {each.target for each in third_party} == set(DOORS)
    assert {each.module for each in third_party if floor(each.module) == 0 and not each.typing_only} <= {
        "machine.watch",
        "values.arrays",
        "values.repeats",
        "values.hits",
    }


def test_heavy_modules_are_imported_when_they_are_needed() -> None:
    eager = {
        (each.module, each.target)
        for each in imports()
        if each.target in LAZY and not each.lazy and not each.typing_only
    }
    assert eager <= LAZY_EXCEPTIONS
    assert {each.target for each in imports() if each.lazy} >= set(LAZY)
    # The commands import even our own working parts when they run, so that --help is instant.
    faces = {each.target for each in ours() if within(each.module, "cli") and not each.lazy and not each.typing_only}
    assert not {face for face in faces if face.startswith(".serve")}
    assert {face for face in faces if floor(face[1:]) != TOP} == {
        ".errors",
        ".errors.warnings",
        ".values.nested",
        ".values.paths",
    }


STREAMS = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")


def test_nothing_is_printed_outside_the_face() -> None:
    printing = []
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            written = isinstance(node, ast.Attribute) and ast.unparse(node) in STREAMS
            if called or (written and not name.startswith("cli")):
                printing.append((name, getattr(node, "lineno", 0)))
    assert printing == []


# --- the tests


def imported_names(path: Path) -> list[str]:
    """Every module that a test file imports, and every name that it imports from one; also in its strings of code."""
    names = []
    sources = [path.read_text(encoding="utf-8")]
    while sources:
        for node in ast.walk(ast.parse(sources.pop())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
                with contextlib.suppress(SyntaxError, ValueError):
                    ast.parse(node.value)
                    sources.append(node.value)
    return names


def test_no_test_file_imports_another() -> None:
    found = {path: imported_names(path) for path in sorted(TESTS.rglob("*.py"))}
    assert "support.children.child" in found[TESTS / "store" / "test_backup.py"]
    assert {
        str(path.relative_to(TESTS)): name
        for path, names in found.items()
        for name in names
        if any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    } == {}


def test_tests_mirror_the_package() -> None:
    own = {"support", "bench", "golden", "guide"}
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert {str(folder) for folder in folders if not (PACKAGE / folder).is_dir()} <= own


if __name__ == "__main__":
    sys.stdout.write(picture())
