"""Checks what is passed to the methods of both clients, as `Index` does, so that nothing odd is sent."""

from __future__ import annotations

from typing import get_args

from ...index.adding.long_texts import OnLong
from ...index.adding.repeats import OnDuplicate
from ...search.options import CHECKS
from ...values.arguments import entrance
from ...values.columns import keys, one_or_more_keys
from ...values.scalars import choice, string

checked = entrance(
    **CHECKS,
    space=lambda name, value: string(value, name),
    on_long=choice(get_args(OnLong)),
    on_duplicate=choice(get_args(OnDuplicate)),
)
checked_similar = entrance(key=one_or_more_keys)
checked_delete = entrance(keys=keys)
