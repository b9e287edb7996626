"""Downloads what a URL names, once, and within stated limits. Nothing here runs unless a user named the URL."""

from __future__ import annotations

import http.client
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from email.message import Message
from typing import IO, NamedTuple, cast

from ...errors import Advice, SourceError
from ..formats import Format
from .encodings import python_name
from .files import is_url

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
MAX_SECONDS = 600.0
"""Seconds that a download may take."""
MAX_SIZE = 2**30
"""Bytes."""
MAX_REDIRECTS = 5

_IN_MEMORY = 16 * 2**20
_DOWNLOAD = "Download it with another program, and add the file."
_CONTENT_TYPES = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/json": "json",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/vtt": "subtitles",
    "application/x-subrip": "subtitles",
    "message/rfc822": "eml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.apache.parquet": "parquet",
}


class Download(NamedTuple):
    """A ``copy`` of what a server sent, which the caller closes, and what its content type says, if anything."""

    copy: IO[bytes]
    format: Format | None
    encoding: str | None


def downloaded(url: str, offline: bool = False) -> Download:
    """What the server sends; raises SourceError."""
    if offline:
        raise SourceError(
            url,
            None,
            "is on a server, and nothing is downloaded offline",
            Advice("Leave offline= out, or name a file.", typed="Leave --offline out, or name a file."),
        )
    opener = urllib.request.build_opener(_Redirects(url))
    try:
        with opener.open(urllib.request.Request(url, headers=_headers()), timeout=TIMEOUT) as answer:
            return Download(_received(answer, url), _format(answer.headers), _encoding(answer.headers))
    except SourceError:
        raise
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(str(error.reason).split())
            reason = f"the server answered {error.code} ({said})"
        raise SourceError(url, None, reason, "Check the address in a browser.") from None
    except (TimeoutError, urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(url, error) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows few redirects, and only to other servers of the web."""

    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def __init__(self, url: str) -> None:
        self._url = url

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not is_url(newurl):
            fp.close()
            raise SourceError(self._url, None, f"leads to {newurl}, which is not on the web", _DOWNLOAD)
        return super().redirect_request(req, fp, code, msg, cast(http.client.HTTPMessage, headers), newurl)


def _headers() -> dict[str, str]:
    return {"User-Agent": "vecindex", "Accept": "*/*", "Accept-Encoding": "identity"}


def _received(answer: http.client.HTTPResponse, url: str) -> IO[bytes]:
    """What the server sends, copied: in memory if it is small, else in a temporary file that has no name."""
    until = time.monotonic() + MAX_SECONDS
    with ExitStack() as on_failure:
        copy = on_failure.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
        while chunk := answer.read(2**16):
            copy.write(chunk)
            if copy.tell() > MAX_SIZE:
                raise SourceError(url, None, f"has more than {MAX_SIZE:,} bytes", _DOWNLOAD)
            if time.monotonic() > until:
                raise SourceError(url, None, f"takes more than {MAX_SECONDS:.0f} seconds to download", _DOWNLOAD)
        expected = answer.headers.get("Content-Length", "")
        if expected.isdigit() and copy.tell() < int(expected):
            reason = f"the server sent {copy.tell():,} of {int(expected):,} bytes"
            raise SourceError(url, None, reason, "Try again.")
        copy.seek(0)
        on_failure.pop_all()
    return cast(IO[bytes], copy)


def _format(headers: Message) -> Format | None:
    """The format that the server says; plain text and unknown types leave it to the name and the content."""
    value = _CONTENT_TYPES.get(headers.get_content_type())
    return next((each for each in Format if each.value == value), None)


def _encoding(headers: Message) -> str | None:
    """The encoding that the server says; UTF-8 is what is assumed anyway, and often said without reason."""
    charset = headers.get_content_charset()
    encoding = None if charset is None else python_name(charset)
    return None if encoding in (None, "utf-8") else encoding


def _failed(url: str, error: Exception) -> SourceError:
    reason = getattr(error, "reason", error)
    said = str(getattr(reason, "strerror", None) or reason) or type(error).__name__
    if isinstance(reason, TimeoutError):
        said = f"the server was silent for {TIMEOUT:.0f} seconds"
    return SourceError(url, None, f"cannot be downloaded: {said}", "Check the address and the connection.")
