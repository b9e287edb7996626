"""Reads which modules a model is made of, in which order and with which settings.

Whatever a model asks for that is not supported is refused by name (`UnsupportedModel`), never approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn, TypeGuard, TypeVar, get_args

from ...errors import UnsupportedModel
from ...values.space import PoolingMode
from .layouts import MODULES, MODULES_FILE, PLAIN, STATIC, TRANSFORMER, Layout
from .small_files import DEEPEST, check_weights, read_json
from .weights import WEIGHTS_FILE, pickle_among, pickle_refused

Value = TypeVar("Value")
Activation = Literal["Identity", "Tanh", "ReLU", "Sigmoid"]

_SUPPORTED = "supported: Transformer, Pooling or StaticEmbedding, then any Dense and Normalize"
_LEGACY_POOLING: dict[str, PoolingMode] = {  # in the order in which their vectors are concatenated
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SIDES = ("module_input_name", "module_output_name")
_SENTENCE = "sentence_embedding"
# What config.json calls the size of a token's vector.
_WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")


@dataclass(frozen=True, slots=True)
class DenseFiles:
    """A dense layer f(W x + b) + R x, whose weights are in ``folder``; ``residual`` says whether there is an R."""

    folder: Path
    inputs: int
    outputs: int
    bias: bool
    activation: Activation
    residual: bool

    def describe(self, digest: str) -> str:
        """Everything that this layer does, in a line; ``digest`` is that of its weights."""
        also = "".join(f", {name}" for name in ("bias", "residual") if getattr(self, name))
        return f"Dense {self.inputs} to {self.outputs}, {self.activation}{also}, {digest}"


@dataclass(frozen=True, slots=True)
class Pooling:
    """How token vectors of ``width`` numbers become one: ``modes``, and whether the prompt's tokens are pooled too."""

    modes: tuple[PoolingMode, ...]
    width: int
    prompt_pooled: bool = True


@dataclass(frozen=True, slots=True)
class Modules:
    """What a model is made of.

    ``path`` is the folder of the transformer or the static embedding, relative to the model's folder. ``pooling`` is
    None for a static embedding. In ``layers``, None stands for Normalize.
    """

    layout: Layout
    path: str
    pooling: Pooling | None
    layers: tuple[DenseFiles | None, ...] = ()

    @property
    def static(self) -> bool:
        """Whether each token has one fixed vector, so that there is no transformer."""
        return self.layout == STATIC

    @property
    def plain(self) -> bool:
        """Whether it is a transformer without modules.json, which does not say how sentence vectors are made."""
        return self.layout == PLAIN

    @property
    def dense(self) -> tuple[DenseFiles | None, ...]:
        """The layers up to the last dense one; those after it do not change a vector's direction."""
        last = max((place for place, layer in enumerate(self.layers, 1) if layer), default=0)
        return self.layers[:last]


class ModelReader:
    """Reads a model's files, and refuses the model by name."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModel(self.model, reason)

    def json(self, name: str, kind: Literal["dict", "list"] = "dict", optional: bool = False) -> Any:
        """The content of a JSON file; None if it is optional and missing."""
        path = self.folder / name
        try:
            value = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            if optional:
                return None
            raise UnsupportedModel(self.model, f"its folder {self.folder} holds no {name}") from None
        except (ValueError, OSError) as error:
            self._unreadable(path, error)
        if type(value).__name__ != kind:
            self.refuse(f"{path} holds a {type(value).__name__}, not a {kind}")
        return value

    def module(self, kind: str, path: str) -> dict[str, Any]:
        """The JSON files of a module, by name, as far as they exist; ``kind`` is its name in `MODULES`."""
        files = MODULES[kind]
        found = {name: self.json(within(path, name)) for name in files.required}
        found |= {name: self.json(within(path, name), optional=True) for name in files.optional}
        for name in files.either:
            found[name] = self.json(within(path, name), optional=True)
            if found[name]:
                break
        return {name: value for name, value in found.items() if value is not None}

    def only(self, name: str, config: Mapping[str, Any], known: Sequence[str]) -> None:
        """Refuses unknown settings."""
        if unknown := sorted(key for key in config if key not in known):
            self.refuse(f"{name} has unknown settings: {', '.join(unknown)}")

    def weights(self, path: str) -> Path:
        """The one file of weights in ``path``."""
        file = self.folder / path / WEIGHTS_FILE
        if not file.exists():
            self.no_weights(path)
        self.check(check_weights, file)
        return file

    def check(self, look: Callable[[Path], Value], path: Path) -> Value:
        """What ``look`` returns for ``path``; refuses the model if it raises ValueError or OSError."""
        try:
            return look(path)
        except (ValueError, OSError) as error:
            self._unreadable(path, error)

    def _unreadable(self, path: Path, error: ValueError | OSError) -> NoReturn:
        reason = f"{path} cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise UnsupportedModel(self.model, reason) from None

    def no_weights(self, path: str) -> NoReturn:
        """Refuses a folder without safetensors, and says what can be done about it."""
        folder = self.folder / path
        if pickle := pickle_among(file.name for file in folder.glob("*")):
            raise pickle_refused(self.model, within(path, pickle))
        self.refuse(f"its folder {folder} holds no {WEIGHTS_FILE}")


def within(path: str, name: str) -> str:
    """The name of a file in a module's folder, relative to the model's folder."""
    return f"{path}/{name}" if path else name


def read_modules(read: ModelReader) -> Modules:
    """Reads what the model is made of.

    Raises:
        UnsupportedModel: a file is missing or damaged, or names an unsupported module or setting.
    """
    if not (read.folder / MODULES_FILE).exists() and (read.folder / "config.json").exists():
        config = read.json("config.json")
        _check_not_model2vec(read, config)
        return Modules(PLAIN, "", Pooling(("mean",), _width(read, config)))
    listed = listed_modules(read)
    kinds = tuple(kind for kind, _ in listed)
    layout = next((layout for layout in (TRANSFORMER, STATIC) if kinds[: len(layout)] == layout), ())
    if not layout or not {*kinds[len(layout) :]} <= {*_READ_LAYER}:
        read.refuse(f"its modules are {', '.join(kinds) or 'none'}; {_SUPPORTED}")
    layers = tuple(_READ_LAYER[kind](read, path) for kind, path in listed[len(layout) :])
    return Modules(layout, listed[0][1], None if layout == STATIC else _pooling(read, listed[1][1]), layers)


def listed_modules(read: ModelReader) -> list[tuple[str, str]]:
    """The kind and the folder of each module that modules.json names."""
    modules = read.json(MODULES_FILE, "list")
    return [(_kind(read, module), _path(read, module)) for module in modules]


def _kind(read: ModelReader, module: object) -> str:
    if not isinstance(module, Mapping):
        read.refuse(f"modules.json holds {module!r}, which is not a module")
    kind = str(module.get("type"))
    if not kind.startswith("sentence_transformers."):
        read.refuse(f"its module {kind} is custom code")
    return kind.rsplit(".", 1)[-1]


def _path(read: ModelReader, module: Mapping[str, Any]) -> str:
    """The folder of a module's files, relative to the model's folder; the empty string is that folder itself."""
    path = module.get("path", "")
    if not isinstance(path, str) or "\\" in path or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
        read.refuse(f"modules.json places a module in {path!r}, which is not inside the model's folder")
    if len(PurePosixPath(path).parts) > DEEPEST:
        read.refuse(f"modules.json places a module in {path!r}, more than {DEEPEST} folders deep")
    return str(PurePosixPath(path)) if str(PurePosixPath(path)) != "." else ""


def _pooling(read: ModelReader, path: str) -> Pooling:
    name = within(path, "config.json")
    config = read.module("Pooling", path)["config.json"]
    widths = ("embedding_dimension", "word_embedding_dimension")
    read.only(name, config, (*_LEGACY_POOLING, "pooling_mode", "include_prompt", *widths))
    given = config.get("pooling_mode")
    if given is None:
        given = [new for old, new in _LEGACY_POOLING.items() if config.get(old)] or ["mean"]
    modes = [given] if isinstance(given, str) else given
    if not isinstance(modes, list) or not modes or any(mode not in get_args(PoolingMode) for mode in modes):
        read.refuse(f"its pooling mode is {given!r} in {name}; supported: {', '.join(get_args(PoolingMode))}")
    width = next((config[key] for key in widths if key in config), None)
    if not is_size(width):
        read.refuse(f"{name} does not give the dimension")
    prompt_pooled = config.get("include_prompt", True)
    if not isinstance(prompt_pooled, bool):
        read.refuse(f"{name} sets include_prompt to {prompt_pooled!r}")
    return Pooling(tuple(modes), width, prompt_pooled)


def _check_not_model2vec(read: ModelReader, config: Mapping[str, Any]) -> None:
    """model2vec leaves out unknown tokens and reads at most 512 tokens, and its folder says neither."""
    if config.get("model_type") == "model2vec" or config.get("architectures") == ["StaticModel"]:
        read.refuse(
            "it is a model2vec folder without modules.json: save it with sentence-transformers "
            "(SentenceTransformer(modules=[StaticEmbedding.from_model2vec(DIR)]).save(DIR2)) and use that folder"
        )


def _width(read: ModelReader, config: Mapping[str, Any]) -> int:
    width = next((config[name] for name in _WIDTHS if name in config), None)
    if not is_size(width):
        read.refuse(f"config.json does not give the size of a token's vector ({' or '.join(_WIDTHS)})")
    return width


def _dense(read: ModelReader, path: str) -> DenseFiles:
    name = within(path, "config.json")
    config = _layer(read, "Dense", path, "in_features", "out_features", "bias", "activation_function", "use_residual")
    sizes = (config.get("in_features"), config.get("out_features"))
    flags = (config.get("bias", True), config.get("use_residual", False))
    if not is_size(sizes[0]) or not is_size(sizes[1]) or not all(isinstance(flag, bool) for flag in flags):
        read.refuse(f"{name} lacks a valid in_features, out_features, bias or use_residual")
    setting = "activation_function"
    activation = activation_of(read, name, setting, config.get(setting, "torch.nn.modules.activation.Tanh"))
    read.weights(path)
    return DenseFiles(read.folder / path, sizes[0], sizes[1], flags[0], activation, flags[1])


def _normalize(read: ModelReader, path: str) -> None:
    if path:  # else config.json is the transformer's
        _layer(read, "Normalize", path)


_READ_LAYER: dict[str, Callable[[ModelReader, str], DenseFiles | None]] = {"Dense": _dense, "Normalize": _normalize}


def _layer(read: ModelReader, kind: str, path: str, *known: str) -> dict[str, Any]:
    """The settings of a layer, which may be only the known ones."""
    name, config = within(path, "config.json"), dict(read.module(kind, path).get("config.json", {}))
    read.only(name, config, (*known, *_SIDES))
    for side in _SIDES:
        if config.get(side) not in (None, _SENTENCE):
            read.refuse(f"{name} sets {side} to {config[side]}; supported: {_SENTENCE}")
    return config


def is_size(value: object) -> TypeGuard[int]:
    """Whether this is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def activation_of(read: ModelReader, name: str, setting: str, given: object) -> Activation:
    """The activation that a ``setting`` in the file ``name`` gives as the path of a class; refuses any other."""
    prefix, _, activation = str(given).rpartition(".")
    if not f"{prefix}.".startswith("torch.nn.") or not _is_activation(activation):
        read.refuse(f"{name} sets {setting} to {given}; supported: {', '.join(get_args(Activation))} of torch")
    return activation


def _is_activation(name: str) -> TypeGuard[Activation]:
    return name in get_args(Activation)
