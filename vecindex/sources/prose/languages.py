"""Names the programming languages that are known, by suffix or file name, and files that are texts by their names."""

from __future__ import annotations

from pathlib import PurePath

LANGUAGES: dict[str, str] = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".vue": "vue",
    ".svelte": "svelte",
    ".css": "css",
    ".scss": "scss",
    ".less": "less",
    ".java": "java",
    ".kt": "kotlin",
    ".kts": "kotlin",
    ".scala": "scala",
    ".groovy": "groovy",
    ".clj": "clojure",
    ".c": "c",
    ".h": "c",
    ".cc": "c++",
    ".cpp": "c++",
    ".cxx": "c++",
    ".hh": "c++",
    ".hpp": "c++",
    ".cu": "cuda",
    ".cs": "c#",
    ".fs": "f#",
    ".go": "go",
    ".rs": "rust",
    ".zig": "zig",
    ".swift": "swift",
    ".m": "objective-c",
    ".rb": "ruby",
    ".php": "php",
    ".pl": "perl",
    ".pm": "perl",
    ".lua": "lua",
    ".r": "r",
    ".jl": "julia",
    ".dart": "dart",
    ".ex": "elixir",
    ".exs": "elixir",
    ".erl": "erlang",
    ".hs": "haskell",
    ".ml": "ocaml",
    ".sh": "shell",
    ".bash": "shell",
    ".zsh": "shell",
    ".ps1": "powershell",
    ".bat": "batch",
    ".sql": "sql",
    ".proto": "protobuf",
    ".tf": "terraform",
    ".graphql": "graphql",
    ".mk": "make",
    ".cmake": "cmake",
    ".gradle": "groovy",
    ".nix": "nix",
    ".vim": "vim",
    ".el": "lisp",
    ".lisp": "lisp",
    ".f90": "fortran",
    ".fish": "shell",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".ini": "ini",
    ".cfg": "ini",
    ".conf": "ini",
    ".properties": "ini",
    ".diff": "diff",
    ".patch": "diff",
}
_BY_NAME = {
    "makefile": "make",
    "gnumakefile": "make",
    "cmakelists.txt": "cmake",
    "dockerfile": "docker",
    "containerfile": "docker",
    "jenkinsfile": "groovy",
    "vagrantfile": "ruby",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "brewfile": "ruby",
    "podfile": "ruby",
    "procfile": "shell",
    "justfile": "just",
}
_TEXTS = frozenset(
    (
        *("readme", "license", "licence", "copying", "copyright", "notice", "patents", "authors", "contributors"),
        *("contributing", "maintainers", "credits", "thanks", "changelog", "changes", "history", "news", "releases"),
        *("todo", "install", "faq", "bugs", "security"),
    )
)


def language_by_name(path: str) -> str | None:
    """The programming language of a file with a well-known name, such as Makefile or Dockerfile.dev."""
    name = PurePath(path.lower())
    return _BY_NAME.get(name.name) or _BY_NAME.get(name.stem)


def is_text_by_name(path: str) -> bool:
    """Whether a file has a well-known name of a text, such as README, LICENSE or LICENSE-MIT."""
    stem = PurePath(path.lower()).stem
    return stem in _TEXTS or stem.partition("-")[0] in _TEXTS
