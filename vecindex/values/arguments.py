"""Checks the arguments of public functions: `entrance` checks each by its parameter's name.

The table `CHECKS` says how. A function passes its own check for a parameter that means something else. Arrays of
numbers are checked in `arrays`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from .columns import column, keys, queries, query
from .keys import checked_key
from .scalars import Check, callback, flag, path, real, string, whole
from .texts import checked_text

P = ParamSpec("P")
R = TypeVar("R")


def entrance(**own: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that checks the arguments of a public function; ``own`` are checks for this function's parameters.

    Arguments that are left out are not checked, and None is accepted where it is the default.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        code, defaults = cast(Any, function).__code__, cast(Any, function).__defaults__ or ()
        placed = code.co_varnames[: code.co_argcount]
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        default = dict(zip(reversed(placed), reversed(defaults), strict=False)) | (
            cast(Any, function).__kwdefaults__ or {}
        )
        checks: dict[str, Check] = {
            name: _or_none(check) if name in default and default[name] is None else check
            for name, check in (CHECKS | own).items()
            if name in named
        }
        by_place = [(place, name, checks[name]) for place, name in enumerate(placed) if name in checks]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            taken = list(args)
            for place, name, check in by_place:
                if place >= len(taken):
                    break
                taken[place] = check(name, taken[place])
            for name in kwargs:
                if name in checks:
                    kwargs[name] = checks[name](name, kwargs[name])
            return function(*cast(Any, taken), **kwargs)

        cast(Any, checked).checks = checks
        return checked

    return wrap


def _or_none(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


CHECKS: dict[str, Check] = {
    **dict.fromkeys(("texts", "records", "keys", "metadata"), column),
    "queries": queries,
    "query": query,
    "text": lambda name, value: checked_text(value),
    "against": lambda name, value: string(value, "a query"),
    **dict.fromkeys(("create", "readonly", "offline", "cache", "anew", "encode", "prune"), flag),
    **dict.fromkeys(("path", "destination", "source", "name_or_path"), path),
    **dict.fromkeys(("progress", "on_bad", "keep"), callback),
    **dict.fromkeys(("key", "after"), lambda name, value: checked_key(value)),
    **dict.fromkeys(("exclude", "not_"), keys),
    "field": lambda name, value: string(value, "a field"),
    "group_by": lambda name, value: string(value, "a field"),
    "cursor": lambda name, value: string(value, "a cursor"),
    "per_group": whole(1, "Pass a whole number of hits, 1 or more."),
    "context": whole(0, "Pass a whole number of sentences, 0 or more."),
    "limit": whole(1, "Pass a whole number of records, 1 or more."),
    "top": whole(1, "Pass a whole number of values, 1 or more."),
    "sample": whole(1, "Pass a whole number of records, 1 or more."),
    "seed": whole(0, "Pass a whole number, 0 or more."),
    "k": whole(1, "Pass a whole number of hits, 1 or more."),
    "threads": whole(1, "Pass a whole number of cores, 1 or more."),
    "dimensions": whole(1, "Pass how many dimensions to keep, 1 or more.", "{value} dimensions were asked for"),
    "lock_timeout": real("Pass a number of seconds, 0 or more.", 0),
    "min_score": real("Pass a number."),
    "min_percentile": real("Pass a number from 0 to 100.", 0),
    "diversity": real("Pass a share from 0 to 1.", 0),
    "recall": real("Pass the share of the exact hits to find, more than 0 and at most 1."),
    "rerank_ms": real("Pass a number of milliseconds, 0 or more.", 0),
    "latency_ms": real("Pass a number of milliseconds."),
}
"""The check of each parameter name, for all public functions."""
