"""Turns sentences into vectors and finds the nearest ones.

Names are resolved when they are first used: ``import vecindex`` and ``vecindex --help`` load nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .encoders.explain import Explanation as Explanation
    from .encoders.explain import TokenExplanation as TokenExplanation
    from .encoders.explain import explain as explain
    from .encoders.foreign import ForeignEncoder as ForeignEncoder
    from .encoders.load import load_encoder as load_encoder
    from .encoders.run.encoder import Encoder as Encoder
    from .encoders.run.pooling import mean_pool as mean_pool
    from .encoders.run.pooling import pool_features as pool_features
    from .errors import CorruptIndex as CorruptIndex
    from .errors import CursorExpired as CursorExpired
    from .errors import EncodingFailed as EncodingFailed
    from .errors import IncompatibleFormat as IncompatibleFormat
    from .errors import IndexLocked as IndexLocked
    from .errors import IndexNotFound as IndexNotFound
    from .errors import InvalidFilter as InvalidFilter
    from .errors import InvalidInput as InvalidInput
    from .errors import MissingExtra as MissingExtra
    from .errors import ModelNotFound as ModelNotFound
    from .errors import OutOfMemory as OutOfMemory
    from .errors import RecordNotFound as RecordNotFound
    from .errors import ServerError as ServerError
    from .errors import SourceError as SourceError
    from .errors import SpaceMismatch as SpaceMismatch
    from .errors import StorageError as StorageError
    from .errors import TextTooLong as TextTooLong
    from .errors import TextWithoutToken as TextWithoutToken
    from .errors import UnsupportedModel as UnsupportedModel
    from .errors import VecindexError as VecindexError
    from .errors.warnings import FilterWarning as FilterWarning
    from .errors.warnings import GroupWarning as GroupWarning
    from .errors.warnings import PagesWithoutText as PagesWithoutText
    from .errors.warnings import PhraseNotFound as PhraseNotFound
    from .errors.warnings import QueryTruncated as QueryTruncated
    from .errors.warnings import QueryUnknown as QueryUnknown
    from .errors.warnings import RerankUnfinished as RerankUnfinished
    from .errors.warnings import VecindexWarning as VecindexWarning
    from .evaluate.evaluation import evaluate_index as evaluate_index
    from .evaluate.results import Difference as Difference
    from .evaluate.results import Estimate as Estimate
    from .evaluate.results import Evaluation as Evaluation
    from .evaluate.results import SystemReport as SystemReport
    from .evaluate.self_test import KnownItems as KnownItems
    from .evaluate.self_test import SelfTest as SelfTest
    from .evaluate.self_test import self_test as self_test
    from .exchange.export import ExportReport as ExportReport
    from .index.change_model import MigrationReport as MigrationReport
    from .index.facade import Index as Index
    from .index.facade import open as open
    from .search.explained.hit_explanation import HitExplanation as HitExplanation
    from .search.explained.hit_explanation import Standing as Standing
    from .search.run import SearchReport as SearchReport
    from .serve.client.asynchronous import AsyncRemoteIndex as AsyncRemoteIndex
    from .serve.client.connect import connect as connect
    from .serve.client.connect import connect_async as connect_async
    from .serve.client.sync import RemoteIndex as RemoteIndex
    from .sources.split.read import read as read
    from .sources.split.sentences import split_sentences as split_sentences
    from .store.backup import BackupReport as BackupReport
    from .values.facets import Facet as Facet
    from .values.facets import Facets as Facets
    from .values.hits import Hits as Hits
    from .values.records import AddReport as AddReport
    from .values.records import CompactReport as CompactReport
    from .values.records import EncodeReport as EncodeReport
    from .values.records import Hit as Hit
    from .values.records import IndexInfo as IndexInfo
    from .values.records import Record as Record
    from .values.records import TokenReport as TokenReport
    from .values.records import VerifyReport as VerifyReport
    from .values.sources import SourceInfo as SourceInfo

_HOMES = {
    "serve.client.asynchronous": ("AsyncRemoteIndex",),
    "serve.client.connect": ("connect", "connect_async"),
    "serve.client.sync": ("RemoteIndex",),
    "encoders.run.encoder": ("Encoder",),
    "encoders.explain": ("Explanation", "TokenExplanation", "explain"),
    "encoders.foreign": ("ForeignEncoder",),
    "encoders.load": ("load_encoder",),
    "encoders.run.pooling": ("mean_pool", "pool_features"),
    "errors": (
        *(
            "CorruptIndex",
            "CursorExpired",
            "EncodingFailed",
            "IncompatibleFormat",
            "IndexLocked",
            "IndexNotFound",
            "InvalidFilter",
        ),
        *("InvalidInput", "MissingExtra", "ModelNotFound", "OutOfMemory", "RecordNotFound", "ServerError"),
        *(
            "SourceError",
            "SpaceMismatch",
            "StorageError",
            "TextTooLong",
            "TextWithoutToken",
            "UnsupportedModel",
            "VecindexError",
        ),
    ),
    "evaluate.evaluation": ("evaluate_index",),
    "evaluate.results": ("Difference", "Estimate", "Evaluation", "SystemReport"),
    "evaluate.self_test": ("KnownItems", "SelfTest", "self_test"),
    "exchange.export": ("ExportReport",),
    "index.facade": ("Index", "open"),
    "index.change_model": ("MigrationReport",),
    "values.facets": ("Facet", "Facets"),
    "values.hits": ("Hits",),
    "search.explained.hit_explanation": ("HitExplanation", "Standing"),
    "search.run": ("SearchReport",),
    "values.records": (
        "AddReport",
        "CompactReport",
        "EncodeReport",
        "Hit",
        "IndexInfo",
        "Record",
        "TokenReport",
        "VerifyReport",
    ),
    "sources.split.read": ("read",),
    "values.sources": ("SourceInfo",),
    "sources.split.sentences": ("split_sentences",),
    "store.backup": ("BackupReport",),
    "errors.warnings": (
        *("FilterWarning", "GroupWarning", "PagesWithoutText", "PhraseNotFound", "QueryTruncated"),
        *("QueryUnknown", "RerankUnfinished", "VecindexWarning"),
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
