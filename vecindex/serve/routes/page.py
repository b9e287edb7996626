"""The page at ``/``: its files, which have nothing of the index in them, so that they need no token."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

_FOLDER = Path(__file__).parent.parent / "page"
_FIRST = "index.html"
_UNDER = "/page/"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may load: its own files. No text can become a script, and no other page can frame it."""
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    type: str
    tag: str


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, _TYPES[path.suffix], f'"{sha256(content).hexdigest()[:32]}"')


_FILES = {path.name: _read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}
"""All that is ever sent, by name; so no path can lead to another file."""
PATHS = frozenset({"/", *(_UNDER + name for name in _FILES if name != _FIRST)})
"""The paths of the page, as they are written."""

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def first(request: Request) -> Response:
    return _answer(_FILES[_FIRST], request)


@router.api_route(_UNDER + "{name}", methods=["GET", "HEAD"])
async def file(name: str, request: Request) -> Response:
    if request.scope["path"] not in PATHS:
        raise HTTPException(404)
    return _answer(_FILES[name], request)


def _answer(file: _File, request: Request) -> Response:
    headers = {**_HEADERS, "ETag": file.tag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    content = file.content if request.method == "GET" else b""
    return Response(content, headers={**headers, "Content-Length": str(len(file.content))}, media_type=file.type)
