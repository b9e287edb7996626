"""Makes dataclasses, errors and warnings again of the JSON that a server sends."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ... import errors
from ...errors import VecindexError, warnings
from ...errors.warnings import VecindexWarning

T = TypeVar("T")


def rebuilt(kind: type[T], members: Mapping[str, Any]) -> T:
    """An instance of a dataclass, with those within it; members that it does not have are left out.

    So an older client understands a newer server.
    """
    hints = _hints(cast(Any, kind))
    known = {each.name for each in fields(cast(Any, kind))}
    return kind(**{name: _value(hints[name], value) for name, value in members.items() if name in known})


def error_of(members: Mapping[str, Any]) -> VecindexError | None:
    """The error of the index that a server described; None if it is not one of these."""
    return cast("VecindexError | None", _remade(errors, VecindexError, members))


def warning_of(members: Mapping[str, Any]) -> VecindexWarning | None:
    """The warning that a server described; None if this version does not know it."""
    return cast("VecindexWarning | None", _remade(warnings, VecindexWarning, members))


def _remade(module: types.ModuleType, root: type, members: Mapping[str, Any]) -> Any:
    # Errors and warnings have their arguments as fields, of the same names.
    kind = getattr(module, str(members.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, root) and kind is not root):
        return None
    given = {name: members[name] for name in inspect.signature(kind).parameters if name in members}
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except TypeError:
        return None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    # Some names are imported by a module for its types alone.
    from ...encoders.explain import TokenExplanation
    from ...search.explained.hit_explanation import HitExplanation
    from ...search.lexical.postings import Contribution
    from ...search.rerank.late_interaction import Pair

    names = {each.__name__: each for each in (TokenExplanation, HitExplanation, Contribution, Pair)}
    return get_type_hints(kind, localns=names)


def _value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if get_origin(hint) in (Union, types.UnionType):
        return _value(next(each for each in get_args(hint) if each is not type(None)), value)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return rebuilt(cast(type, hint), value)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], each) for each in value)
    return value
