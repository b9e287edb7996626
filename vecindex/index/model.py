"""Which model speaks for an index: the encoder that its texts and queries are given to, loaded when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import numpy as np

from ..encoders.compile.compiled_models import runtime_of
from ..encoders.load import INT8, LoadOptions, check_options, load_for_space, load_model, precision_here
from ..encoders.run.encoder import Encoded, Encoder
from ..errors import Advice, InvalidInput, SpaceMismatch, TextWithoutToken
from ..errors.warnings import QueryTruncated, QueryUnknown, named, warn
from ..search.run import unit_queries
from ..store.vectors import Vectors
from ..values.columns import each
from ..values.scalars import shown, string
from ..values.space import EXTERNAL, Precision, Space
from ..values.texts import checked_query

Model = str | os.PathLike[str] | Encoder


def model_argument(name: str, value: object) -> Model:
    """The check of a parameter that says a model; see `arguments`."""
    if isinstance(value, (str, os.PathLike, Encoder)) and value != "":
        return value
    raise InvalidInput(f"the {name} is {shown(value)}", "Give a folder, a hub name or an encoder.")


def space_argument(name: str, value: object) -> str | Space:
    """The check of a parameter that says what made vectors; see `arguments`."""
    if isinstance(value, Space):
        return value
    if isinstance(value, str) and value:
        return string(value, "a space's name")
    raise InvalidInput(f"{name} is {shown(value)}", "Give a name of your own, or a model's space: encoder.space.")


def settings_argument(name: str, value: object) -> LoadOptions:
    """The check of a parameter that says how a model is loaded; see `arguments`."""
    if isinstance(value, LoadOptions):
        return value
    raise InvalidInput(
        f"{name} is {shown(value)}", "Open the index with vecindex.open(path, precision=, threads=, ...)."
    )


class IndexModel:
    """The model given to `vecindex.open`, or the index's own."""

    def __init__(
        self, model: Model | None, settings: LoadOptions, check: Callable[[Encoder], None] | None = None
    ) -> None:
        """``check`` is called with an encoder before it is used for the index, and raises where it must not be."""
        check_options(settings)
        self.model = model
        self.settings = settings
        self._check = check
        self._encoder: Encoder | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether the user said something of the space."""
        return self.model is not None or bool(self.settings.precision or self.settings.dimensions)

    def encoder(self, space: Space | None) -> Encoder:
        """The encoder for an index of this space; None is an index without one yet.

        Raises:
            SpaceMismatch: the model that was given is of another space.
            InvalidInput: the index holds vectors that were made elsewhere.
            ModelNotFound, UnsupportedModel.
        """
        known = self._encoder
        if known is None or (self.model is None and space is not None and known.space.fingerprint != space.fingerprint):
            known = self._load(space)  # the first time, or since the index got another model
            if space is not None and space.fingerprint == known.space.fingerprint and self._check is not None:
                self._check(known)
            self._encoder = known
        found = known.space
        if space is not None and space.fingerprint != found.fingerprint:
            raise SpaceMismatch(space.describe(), found.describe(), space.differences(found))
        return known

    def runtime(self, space: Space | None) -> str | None:
        """What encodes for an index of this space; nothing is loaded to find out, and None is nothing."""
        if self._encoder is not None or isinstance(self.model, Encoder):
            return (self._encoder or cast(Encoder, self.model)).runtime
        return None if space is None or space.is_external else runtime_of(space)

    def query_vectors(self, queries: Sequence[str] | Any, space: Space | None) -> Vectors:
        """Unit vectors (n, D) of texts or vectors; warns of texts that are not read whole.

        Raises:
            InvalidInput: a query is neither a text nor a vector, or is blank.
        """
        if isinstance(queries, (list, tuple)) and queries and isinstance(queries[0], str):
            texts = each(queries, checked_query) if len(queries) > 1 else [checked_query(queries[0])]
            # Without a space there is nothing to find, and so no reason to load a model.
            if space is None:
                return np.empty((len(texts), 0), np.float32)
            encoder = self.encoder(space)
            try:
                encoded = encoder.encode_all(texts, role="query")
            except TextWithoutToken as error:
                raise InvalidInput(
                    f"{encoder.space.model} finds nothing in the query {error.text!r}",
                    "Ask with at least one word that it knows.",
                ) from error
            if encoded.truncated.any() or encoded.unknown.any():
                _warn_of(encoded, encoder.space)
            return encoded.vectors
        return unit_queries(queries, space.dimension if space else 0)

    def space_of_vectors(self, given: str | Space | None, stored: Space | None, dimension: int) -> Space:
        """The space of vectors of so many dimensions that were made elsewhere.

        ``given`` is what the user says of them: a name, a model's space, or nothing; ``stored`` is the index's.
        Raises InvalidInput where it cannot be told.
        """
        if isinstance(given, str):
            return Space.external(given, dimension)
        if given is None and (stored is None or stored.is_external) and self.model is None:
            return Space.external(stored.model if stored else EXTERNAL, dimension)
        if given is None:
            raise InvalidInput(
                "vectors were given without space=, and the index has a model",
                "Pass space=index.encoder.space if that model made them; vectors of others need an index of their own.",
            )
        if given.dimension != dimension:
            raise InvalidInput(
                f"the vectors have {dimension} dimensions, and {given.model} has {given.dimension}",
                "Pass the vectors as the model makes them.",
            )
        return given

    def _load(self, space: Space | None) -> Encoder:
        if isinstance(self.model, Encoder):
            return self.model
        settings = self.settings
        if self.model is not None or space is None:
            return load_model(self.model, replace(settings, precision=_precision(settings, space)), expected=space)
        if space.is_external:
            raise InvalidInput(
                f"the index holds vectors made elsewhere ({space.model}): no text can be encoded into their space",
                "Search with a vector of theirs, and add texts together with vectors=.",
            )
        asked = replace(
            space,
            precision=_precision(settings, space) or space.precision,
            dimension=settings.dimensions or space.dimension,
        )
        if asked.fingerprint != space.fingerprint:
            raise SpaceMismatch(
                *(space.describe(), asked.describe(), space.differences(asked)),
                Advice(
                    "Leave precision= and dimensions= out to use the index's own, or open another.",
                    typed="Leave --precision and --dimensions out to use the index's own, "
                    "or name another with --index DIR.",
                ),
            )
        return load_for_space(space, settings)


def _warn_of(encoded: Encoded, space: Space) -> None:
    """Warns of queries that were not read whole, or of which nothing is known."""
    for place in np.flatnonzero(encoded.truncated | encoded.unknown).tolist():
        query = place if len(encoded.lost) > 1 else None
        if encoded.truncated[place]:
            tokens = space.max_tokens + int(encoded.lost[place])
            warn(QueryTruncated(tokens, space.max_tokens, space.model, query))
        if encoded.unknown[place]:
            warn(QueryUnknown(space.model, named(query)))


def _precision(settings: LoadOptions, space: Space | None) -> Precision | None:
    """The precision to load: as asked; the index's own where nothing was, or where that is what "int8" means in it."""
    stored = space.precision if space else None
    if stored is not None and (settings.precision is None or (settings.precision == "int8" and stored in INT8)):
        return cast(Precision, stored) if stored in get_args(Precision) else precision_here(settings.precision)
    return precision_here(settings.precision)
