"""The model of an open index: encodes its texts and queries, and is loaded when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import numpy as np

from ..encoders.compile.compiled_models import runtime_of
from ..encoders.load import INT8, LoadOptions, check_options, load_for_space, load_model, precision_here
from ..encoders.run.encoder import Encoded, Encoder
from ..encoders.run.tokenized import Keep
from ..errors import Advice, InvalidInput, SpaceMismatch, TextWithoutToken
from ..errors.warnings import QueryTruncated, QueryUnknown, VecindexWarning, named, warn
from ..search.run import unit_queries
from ..store.vectors import Vectors
from ..values.columns import checked_queries
from ..values.scalars import shown, string
from ..values.space import EXTERNAL, Precision, Space
from ..values.texts import is_blank

Model = str | os.PathLike[str] | Encoder
Notice = Callable[[VecindexWarning, int], None]
"""Gets a warning, and the position of the query that it is about."""


def model_argument(name: str, value: object) -> Model:
    """Checks an argument that names a model; see `arguments`."""
    if isinstance(value, (str, os.PathLike, Encoder)) and value != "":
        return value
    raise InvalidInput(f"the {name} is {shown(value)}", "Give a folder, a hub name or an encoder.")


def space_argument(name: str, value: object) -> str | Space:
    """Checks an argument that names what made vectors; see `arguments`."""
    if isinstance(value, Space):
        return value
    if isinstance(value, str) and value:
        return string(value, "a space's name")
    raise InvalidInput(f"{name} is {shown(value)}", "Give a name of your own, or a model's space: encoder.space.")


def settings_argument(name: str, value: object) -> LoadOptions:
    """Checks an argument that says how to load a model; see `arguments`."""
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
        """``check`` is called with an encoder before the index uses it, and raises if it must not."""
        check_options(settings)
        self.model = model
        self.settings = settings
        self._check = check
        self._encoder: Encoder | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether the user chose a model, a precision or a dimension."""
        return self.model is not None or bool(self.settings.precision or self.settings.dimensions)

    def encoder(self, space: Space | None) -> Encoder:
        """The encoder for an index of this space; None means that the index has no space yet.

        Raises:
            SpaceMismatch: the given model has a different space.
            InvalidInput: the index holds vectors made elsewhere.
            ModelNotFound, UnsupportedModel.
        """
        known = self._encoder
        if known is None or (self.model is None and space is not None and known.space.fingerprint != space.fingerprint):
            known = self._load(space)  # the first time, or after the index changed its model
            if space is not None and space.fingerprint == known.space.fingerprint and self._check is not None:
                self._check(known)
            self._encoder = known
        found = known.space
        if space is not None and space.fingerprint != found.fingerprint:
            raise SpaceMismatch(space.describe(), found.describe(), space.differences(found))
        return known

    def runtime(self, space: Space | None) -> str | None:
        """The runtime that encodes for an index of this space, None if nothing does; loads nothing."""
        if self._encoder is not None or isinstance(self.model, Encoder):
            return (self._encoder or cast(Encoder, self.model)).runtime
        return None if space is None or space.is_external else runtime_of(space)

    def query_vectors(
        self, queries: Sequence[str] | Any, space: Space | None, keep: Keep | None = None, notice: Notice | None = None
    ) -> Vectors:
        """Unit vectors (n, D) of texts or vectors; warns about texts that are not read whole, or tells ``notice``.

        ``keep`` gets the vectors of the tokens of each text; see `Encoder.encode_keeping`.

        Raises:
            InvalidInput: a query is neither a text nor a vector, or is blank.
        """
        if are_texts(queries):
            texts = checked_queries(queries)
            # Without a space there is nothing to find, and so no reason to load a model.
            if space is None:
                return np.empty((len(texts), 0), np.float32)
            encoder = self.encoder(space)
            try:
                if keep is None:
                    encoded = encoder.encode_all(texts, role="query")
                else:
                    encoded = encoder.encode_keeping(texts, keep, role="query")
            except TextWithoutToken as error:
                raise InvalidInput(
                    f"{encoder.space.model} finds no tokens in the query {error.text!r}",
                    "Ask with at least one word that it knows.",
                ) from error
            if encoded.truncated.any() or encoded.unknown.any():
                _notice(encoded, encoder.space, notice or (give if len(texts) > 1 else _give_alone))
            return encoded.vectors
        return unit_queries(queries, space.dimension if space else 0)

    def space_of_vectors(self, given: str | Space | None, stored: Space | None, dimension: int) -> Space:
        """The space of given vectors with this ``dimension``.

        ``given`` is what the user says about them: a name, a model's space, or nothing; ``stored`` is the index's.
        Raises InvalidInput if the space is not clear.
        """
        if isinstance(given, str):
            return Space.external(given, dimension)
        if given is None and (stored is None or stored.is_external) and self.model is None:
            return Space.external(stored.model if stored else EXTERNAL, dimension)
        if given is None:
            raise InvalidInput(
                "vectors were given without space=, and the index has a model",
                "Pass space=index.encoder.space if that model made them; other vectors need an index of their own.",
            )
        if given.dimension != dimension:
            raise InvalidInput(
                f"the vectors have {dimension} dimensions, but {given.model} has {given.dimension}",
                "Pass the vectors unchanged, as the model makes them.",
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
                Advice(
                    "Open it with model=ForeignEncoder(name, function) for what made them, or search with a vector "
                    "from the same model, alone or as vector= beside the text.",
                    typed="Search with --mode lexical, or in Python with a vector from the same model.",
                ),
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


def are_texts(queries: Sequence[str] | Any) -> bool:
    """Whether these queries are texts, to be encoded, and not vectors."""
    return isinstance(queries, (list, tuple)) and len(queries) > 0 and isinstance(queries[0], str)


def encoded_part(text: str) -> str:
    """What is encoded of a query that is looked for by its words as well; raises InvalidInput if that is nothing."""
    from ..search.lexical.query import plain_query  # a dense search needs none of it

    plain = plain_query(text)
    if is_blank(plain):
        raise InvalidInput(
            f"the query {text!r:.200} says nothing to find by meaning",
            "Add a word beside what it leaves out.",
        )
    return plain


def give(warning: VecindexWarning, query: int | None = None) -> None:
    """Warns of something, about one query of several if it is given."""
    warn(warning if query is None else warning.among(query))


def _give_alone(warning: VecindexWarning, query: int) -> None:
    warn(warning)


def _notice(encoded: Encoded, space: Space, notice: Notice) -> None:
    """Tells of queries that were truncated, or in which the model knows no token."""
    for place in np.flatnonzero(encoded.truncated | encoded.unknown).tolist():
        if encoded.truncated[place]:
            tokens = space.max_tokens + int(encoded.lost[place])
            notice(QueryTruncated(tokens, space.max_tokens, space.model), place)
        if encoded.unknown[place]:
            notice(QueryUnknown(space.model, named(None)), place)


def _precision(settings: LoadOptions, space: Space | None) -> Precision | None:
    """The precision to load: as asked, or the index's own if none was asked or "int8" stands for it."""
    stored = space.precision if space else None
    if stored is not None and (settings.precision is None or (settings.precision == "int8" and stored in INT8)):
        return cast(Precision, stored) if stored in get_args(Precision) else precision_here(settings.precision)
    return precision_here(settings.precision)
