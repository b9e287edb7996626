"""Which modules make a model, in which order, with which settings: modules.json and each module's own config.

What they ask for and this version does not do is refused by name (`UnsupportedModel`), never approximated.
File formats: https://sbert.net/docs/package_reference/sentence_transformer/models.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn, TypeGuard, get_args

from ...errors import UnsupportedModel
from ...values.space import PoolingMode
from .small_files import DEEPEST, OddFileError, check_weights, read_json
from .weights import WEIGHTS_FILE, pickle_among, pickle_refused

Activation = Literal["Identity", "Tanh", "ReLU", "Sigmoid"]

_LAYERS = ("Dense", "Normalize")
_SUPPORTED = "supported: Transformer, Pooling or StaticEmbedding, then any Dense and Normalize"
_LEGACY_POOLING: dict[str, PoolingMode] = {  # in the order in which their vectors are concatenated
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
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

    ``path`` is where the transformer or the static embedding is, relative to the model's folder; ``pooling`` is None
    for the latter; of the ``layers``, None normalises. A ``plain`` folder is a transformer's that says nothing of
    sentences.
    """

    path: str
    pooling: Pooling | None
    layers: tuple[DenseFiles | None, ...]
    plain: bool = False

    @property
    def static(self) -> bool:
        """Whether each token has one vector, so that there is no transformer."""
        return self.pooling is None

    @property
    def dense(self) -> tuple[DenseFiles | None, ...]:
        """The layers up to the last dense one: what is behind it changes no direction."""
        last = max((place for place, layer in enumerate(self.layers, 1) if layer), default=0)
        return self.layers[:last]


class ModelReader:
    """Reads a model's JSON files and refuses it by name."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModel(self.model, reason)

    def json(self, name: str, kind: Literal["dict", "list"] = "dict", optional: bool = False) -> Any:
        path = self.folder / name
        try:
            value = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            if optional:
                return {}
            raise UnsupportedModel(self.model, f"its folder {self.folder} holds no {name}") from None
        except OddFileError as error:
            raise UnsupportedModel(self.model, str(error)) from None
        except OSError as error:
            raise UnsupportedModel(self.model, f"{path} cannot be read: {error.strerror}") from None
        if type(value).__name__ != kind:
            self.refuse(f"{path} holds a {type(value).__name__}, not a {kind}")
        return value

    def only(self, name: str, config: Mapping[str, Any], known: Sequence[str]) -> None:
        """Refuses settings that are not known here."""
        if unknown := sorted(key for key in config if key not in known):
            self.refuse(f"{name} has settings that are not known here: {', '.join(unknown)}")

    def weights(self, path: str) -> Path:
        """The one file of weights in ``path``."""
        file = self.folder / path / WEIGHTS_FILE
        if not file.exists():
            self.no_weights(path)
        self.check(check_weights, file)
        return file

    def check(self, look: Callable[[Path], None], path: Path) -> None:
        """Refuses the model where ``look``, one of `reading`, finds something odd at ``path``."""
        try:
            look(path)
        except OddFileError as error:
            raise UnsupportedModel(self.model, str(error)) from None
        except OSError as error:
            raise UnsupportedModel(self.model, f"{path} cannot be read: {error.strerror}") from None

    def no_weights(self, path: str) -> NoReturn:
        """Refuses a folder without safetensors, and says what can be done about it."""
        folder = self.folder / path
        if pickle := pickle_among(file.name for file in folder.glob("*")):
            raise pickle_refused(self.model, within(path, pickle))
        self.refuse(f"its folder {folder} holds no {WEIGHTS_FILE}")


def within(path: str, name: str) -> str:
    """The name of a file in a module's folder, relative to the model's."""
    return f"{path}/{name}" if path else name


def read_modules(read: ModelReader) -> Modules:
    """What the model is made of.

    Raises:
        UnsupportedModel: a file is missing or damaged, or names a module or a setting that is not known here.
    """
    if not (read.folder / "modules.json").exists() and (read.folder / "config.json").exists():
        _check_model2vec(read)
        return Modules("", Pooling(("mean",), _width(read)), (), plain=True)
    modules = read.json("modules.json", "list")
    names = [_module_name(read, module) for module in modules]
    paths = [_path(read, module) for module in modules]
    static = names[:1] == ["StaticEmbedding"]
    first = 1 if static else 2
    if not (static or names[:2] == ["Transformer", "Pooling"]) or any(name not in _LAYERS for name in names[first:]):
        read.refuse(f"its modules are {', '.join(names) or 'none'}; {_SUPPORTED}")
    layers: list[DenseFiles | None] = []
    for name, path in zip(names[first:], paths[first:], strict=True):
        if name == "Normalize":
            _check_normalize(read, path)
        layers.append(_dense(read, path) if name == "Dense" else None)
    pooling = None if static else _pooling(read, within(paths[1], "config.json"))
    return Modules(paths[0], pooling, tuple(layers))


def _module_name(read: ModelReader, module: object) -> str:
    if not isinstance(module, Mapping):
        read.refuse(f"modules.json holds {module!r}, which is no module")
    kind = str(module.get("type"))
    if not kind.startswith("sentence_transformers."):
        read.refuse(f"its module {kind} is code of its own")
    return kind.rsplit(".", 1)[-1]


def _path(read: ModelReader, module: Mapping[str, Any]) -> str:
    """Where a module's files are, relative to the model's folder; the empty string is that folder itself."""
    path = module.get("path", "")
    if not isinstance(path, str) or "\\" in path or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
        read.refuse(f"modules.json says that a module is in {path!r}, which is no folder in the model's own")
    if len(PurePosixPath(path).parts) > DEEPEST:
        read.refuse(f"modules.json says that a module is in {path!r}, more than {DEEPEST} folders deep")
    return str(PurePosixPath(path)) if str(PurePosixPath(path)) != "." else ""


def _pooling(read: ModelReader, name: str) -> Pooling:
    config = read.json(name)
    read.only(
        name,
        config,
        (*_LEGACY_POOLING, "pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension"),
    )
    given = config.get("pooling_mode")
    if given is None:
        given = [new for old, new in _LEGACY_POOLING.items() if config.get(old)] or ["mean"]
    modes = [given] if isinstance(given, str) else given
    if not isinstance(modes, list) or not modes or any(mode not in get_args(PoolingMode) for mode in modes):
        read.refuse(f"its pooling mode is {given!r} in {name}; supported: {', '.join(get_args(PoolingMode))}")
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if not is_size(width):
        read.refuse(f"{name} does not say the dimension")
    prompt_pooled = config.get("include_prompt", True)
    if not isinstance(prompt_pooled, bool):
        read.refuse(f"{name} sets include_prompt to {prompt_pooled!r}")
    return Pooling(tuple(modes), width, prompt_pooled)


def _check_model2vec(read: ModelReader) -> None:
    """model2vec leaves unknown tokens out and reads 512 tokens at most, which its folder does not say."""
    config = read.json("config.json")
    if config.get("model_type") == "model2vec" or config.get("architectures") == ["StaticModel"]:
        read.refuse(
            "it is a folder of model2vec without a modules.json: save it with sentence-transformers "
            "(SentenceTransformer(modules=[StaticEmbedding.from_model2vec(DIR)]).save(DIR2)), and give that folder"
        )


def _width(read: ModelReader) -> int:
    config = read.json("config.json")
    width = next((config[name] for name in _WIDTHS if name in config), None)
    if not is_size(width):
        read.refuse(f"config.json does not say how many numbers a token's vector has ({' or '.join(_WIDTHS)})")
    return width


def _dense(read: ModelReader, path: str) -> DenseFiles:
    name = within(path, "config.json")
    config = read.json(name)
    sides = ("module_input_name", "module_output_name")
    read.only(name, config, ("in_features", "out_features", "bias", "activation_function", "use_residual", *sides))
    _check_sides(read, name, config)
    sizes = (config.get("in_features"), config.get("out_features"))
    flags = (config.get("bias", True), config.get("use_residual", False))
    if not is_size(sizes[0]) or not is_size(sizes[1]) or not all(isinstance(flag, bool) for flag in flags):
        read.refuse(f"{name} does not say what its layer takes and gives (in_features, out_features, bias)")
    full = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = str(full).rsplit(".", 1)[-1]
    if not str(full).startswith("torch.nn.modules.") or not _is_activation(activation):
        read.refuse(f"{name} sets activation_function to {full}; supported: {', '.join(get_args(Activation))} of torch")
    read.weights(path)
    return DenseFiles(read.folder / path, sizes[0], sizes[1], flags[0], activation, flags[1])


def _check_normalize(read: ModelReader, path: str) -> None:
    if not path:
        return
    name = within(path, "config.json")
    config = read.json(name, optional=True)
    read.only(name, config, ("module_input_name", "module_output_name"))
    _check_sides(read, name, config)


def _check_sides(read: ModelReader, name: str, config: Mapping[str, Any]) -> None:
    for side in ("module_input_name", "module_output_name"):
        if config.get(side) not in (None, _SENTENCE):
            read.refuse(f"{name} sets {side} to {config[side]}; supported: {_SENTENCE}")


def is_size(value: object) -> TypeGuard[int]:
    """Whether this is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_activation(name: str) -> TypeGuard[Activation]:
    return name in get_args(Activation)
