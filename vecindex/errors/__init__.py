"""The exceptions of this package: one tree, in which each error has fields, a one-line message and advice.

::

    VecindexError
    ├── IndexNotFound(path)
    ├── RecordNotFound(key)                    also a LookupError
    ├── InvalidInput(message, advice)          also a ValueError
    │   ├── TextTooLong(item, key, text, tokens, limit, model, origin)
    │   └── TextWithoutToken(text, prompted, item, key, origin)
    ├── InvalidFilter(reason, expression, position)   also a ValueError
    ├── CursorExpired(made, now, reason)
    ├── SourceError(path, line, reason, advice, unit)
    ├── ModelNotFound(model, tried, advice)
    ├── UnsupportedModel(model, reason, advice)
    ├── SpaceMismatch(expected, found, differs, advice)
    ├── MissingExtra(extra, needed_for)
    ├── IndexLocked(path, pid, host, waited, age, doing)
    ├── IncompatibleFormat(path, found, supported)
    ├── CorruptIndex(path, reason, advice)
    ├── StorageError(path, reason, advice)
    ├── OutOfMemory(doing)                     also a MemoryError
    ├── EncodingFailed(reason, advice)
    └── ServerError(url, status, kind, reason, advice, retry_after)

Where ``advice`` is an argument that may be left out, the class has a general one.
"""

from __future__ import annotations

from .advice import Advice as Advice
from .advice import Row as Row
from .advice import VecindexError as VecindexError
from .inputs import CursorExpired as CursorExpired
from .inputs import InvalidFilter as InvalidFilter
from .inputs import InvalidInput as InvalidInput
from .inputs import SourceError as SourceError
from .inputs import TextTooLong as TextTooLong
from .inputs import TextWithoutToken as TextWithoutToken
from .inputs import located as located
from .models import EncodingFailed as EncodingFailed
from .models import MissingExtra as MissingExtra
from .models import ModelNotFound as ModelNotFound
from .models import OutOfMemory as OutOfMemory
from .models import SpaceMismatch as SpaceMismatch
from .models import UnsupportedModel as UnsupportedModel
from .remote import ServerError as ServerError
from .stored import CorruptIndex as CorruptIndex
from .stored import IncompatibleFormat as IncompatibleFormat
from .stored import IndexLocked as IndexLocked
from .stored import IndexNotFound as IndexNotFound
from .stored import RecordNotFound as RecordNotFound
from .stored import StorageError as StorageError
