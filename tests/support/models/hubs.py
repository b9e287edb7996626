"""A hub on this machine, and its local cache as programs leave it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vecindex.encoders.locate.resolve import DEFAULT_MODEL

REVISION = "0123456789abcdef0123456789abcdef01234567"
CACHED = ("modules.json", "config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json")
_TRANSFORMER = [{"path": "", "type": "sentence_transformers.models.Transformer"}]


def cached_model(hub: Path, name: str = DEFAULT_MODEL, leave_out: str = "", revision: str = REVISION) -> Path:
    """A model in the layout of the hub's cache; its ``main`` is the revision that came last."""
    place = hub / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(revision)
    for file in CACHED:
        if file != leave_out:
            (snapshot / file).write_text(json.dumps(_TRANSFORMER) if file == "modules.json" else "{}")
    return snapshot


def noted_as_missing(snapshot: Path, name: str = "modules.json") -> None:
    """Leaves the mark of the hub's client that the repository has no such file."""
    mark = snapshot.parents[1] / ".no_exist" / snapshot.name / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def listed(snapshot: Path, *names: str) -> None:
    """Writes the list of a repository's files that newer clients keep: the cached files and these names."""
    every = {*names, *(file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*") if file.is_file())}
    tree = snapshot.parents[1] / "trees" / f"{snapshot.name}.json"
    tree.parent.mkdir(exist_ok=True)
    files = {name: {"size": 1, "blob_id": "0" * 40} for name in sorted(every)}
    tree.write_text(json.dumps({"format_version": 1, "files": files}))


@dataclass
class Hub:
    """What a hub serves, and what it was asked for.

    ``asked`` has the names of the files that were fetched, ``broken`` those that the server fails to send, and ``sent``
    the values of all headers that could carry a secret. A ``private`` hub answers only those who send one.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    private: bool = False

    def online(self) -> dict[str, str]:
        """The variables with which the hub's client asks this server, and no other."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def files_of(folder: Path) -> dict[str, bytes]:
    """What a repository with this folder's files holds."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def serving(contents: Mapping[str, bytes]) -> Iterator[Hub]:
    """A hub with one model, a/model, in one revision."""
    hub = Hub()
    etags = {name: hashlib.sha1(content).hexdigest() for name, content in contents.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.sent.append(self.headers.get("Authorization", "") + self.headers.get("Cookie", ""))
            path = self.path.split("?")[0]
            headers = {"X-Repo-Commit": REVISION}
            body = b'{"error": "not found"}'
            status = 404
            file = path.startswith("/a/model/resolve/")
            name = path.removeprefix("/a/model/resolve/").partition("/")[2] if file else ""
            if path.startswith(f"/api/models/a/model/tree/{REVISION}"):
                tree = [
                    {"type": "file", "path": n, "size": len(c), "oid": etags[n]} for n, c in sorted(contents.items())
                ]
                status, body = 200, json.dumps(tree).encode()
            elif path in ("/api/models/a/model", *(f"/api/models/a/model/revision/{r}" for r in ("main", REVISION))):
                siblings = [{"rfilename": name} for name in contents]
                status, body = 200, json.dumps({"id": "a/model", "sha": REVISION, "siblings": siblings}).encode()
            elif name in hub.broken:
                status = 403
            elif name in contents:
                status, body = 200, contents[name]
                headers["ETag"] = f'"{etags[name]}"'
                if self.command == "GET":
                    hub.asked.append(name)
            elif file:
                headers["X-Error-Code"] = "EntryNotFound"
            if hub.private:
                status, body = 401, b'{"error": "Invalid username or password."}'
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
