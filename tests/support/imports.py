"""Reads which modules the package has, and which imports which, without importing any."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vecindex

PACKAGE = Path(vecindex.__file__).parent


@dataclass(frozen=True)
class Import:
    """``target`` is a library's name, or a dot and a module of ours; ``lazy`` is one inside a function."""

    module: str
    target: str
    lazy: bool
    typing_only: bool


@cache
def modules() -> dict[str, Path]:
    """The package's modules by their dotted names; the package itself is the empty name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> list[Import]:
    return [each for name, path in modules().items() for each in _Reader(name, path).found]


class _Reader(ast.NodeVisitor):
    def __init__(self, module: str, path: Path) -> None:
        self.module = module
        self.package = module.split(".") if path.name == "__init__.py" and module else module.split(".")[:-1]
        self.lazy = self.typing_only = False
        self.found: list[Import] = []
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0:
            assert node.module is not None
            assert not node.module.startswith("vecindex"), f"{self.module}: imports of our own are relative"
            self.add(node.module.split(".")[0])
            return
        base = self.package[: len(self.package) - (node.level - 1)] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            inside = ".".join([*base, alias.name])
            self.add("." + (inside if inside in modules() else ".".join(base)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self.lazy = self.lazy, True
        self.generic_visit(node)
        self.lazy = before

    def visit_If(self, node: ast.If) -> None:
        before = self.typing_only
        self.typing_only = before or (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
        for child in node.body:
            self.visit(child)
        self.typing_only = before
        for child in node.orelse:
            self.visit(child)

    def add(self, target: str) -> None:
        self.found.append(Import(self.module, target, self.lazy, self.typing_only))
