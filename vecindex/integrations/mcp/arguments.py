"""What an agent may pass to each tool: the types, with their bounds and descriptions, that become its JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_HITS = 50
MOST_KEYS = 100
MOST_RECORDS = 100
MOST_SOURCES = 200
LONGEST_QUERY = 10_000
LONGEST_TEXT = 100_000
LONGEST_PART = 16_000

Query = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_QUERY,
        description="What to look for: a question or a phrase in plain words. In the modes lexical and hybrid, a "
        'phrase in "quotation marks" has to be in the text word for word, and -word leaves out texts with that word.',
    ),
]
Count = Annotated[int, Field(ge=1, le=MOST_HITS, description=f"How many hits to return, at most {MOST_HITS}.")]
Mode = Annotated[
    Literal["dense", "lexical", "hybrid"],
    Field(
        description="dense finds texts of the same meaning; lexical finds texts that have the words of the query; "
        "hybrid does both and is best for names, codes and rare words."
    ),
]
Where = Annotated[
    dict[str, Any] | str | None,
    Field(
        description="Only records whose metadata match this filter, such as \"lang = 'en' and year >= 2020\" or "
        '{"lang": "en", "year": {"$gte": 2020}}. Operators: = != < <= > >= in, like \'%part%\', contains (an item of '
        "a list), is null, and, or, not."
    ),
]
Rerank = Annotated[
    Literal["tokens"] | None,
    Field(description="tokens puts the best hits in a better order, word by word; slower, better for hard questions."),
]
GroupBy = Annotated[
    str | None,
    Field(
        max_length=1_000,
        description="Return only the best hit of each group: source, document, or a metadata field like author.name.",
    ),
]
Context = Annotated[
    int,
    Field(ge=0, le=10, description="How many sentences of the same document to give before and after each hit."),
]
MinScore = Annotated[
    float | None,
    Field(description="Leave out hits of a lower score: a cosine from -1 to 1, or in the mode lexical a BM25 score."),
]
Exclude = Annotated[
    list[str],
    Field(max_length=MOST_KEYS, description="Keys of records to leave out, such as those that you know already."),
]
Cursor = Annotated[
    str | None,
    Field(
        max_length=LONGEST_TEXT,
        description="The next_cursor of the hits before, for those after them; the other arguments must be the same.",
    ),
]
Like = Annotated[
    list[str],
    Field(min_length=1, max_length=20, description="The key of a record, or of several to look near the mean of."),
]
Key = Annotated[str, Field(min_length=1, max_length=1_000_000, description="The key of the record, as in a hit.")]
Start = Annotated[int, Field(ge=0, description="The first character of the text to return, from 0.")]
Length = Annotated[
    int, Field(ge=1, le=LONGEST_PART, description=f"How many characters to return, at most {LONGEST_PART:,}.")
]
Offset = Annotated[int, Field(ge=0, description="How many sources to pass over.")]
Sources = Annotated[
    int, Field(ge=1, le=MOST_SOURCES, description=f"How many sources to return, at most {MOST_SOURCES}.")
]
Explained = Annotated[
    str, Field(min_length=1, max_length=LONGEST_QUERY, description="The text to explain, such as that of a hit.")
]
Against = Annotated[
    str,
    Field(
        max_length=LONGEST_QUERY,
        description="A query: says what each token of the text adds to the score. Empty for none.",
    ),
]
Keys = Annotated[
    list[str],
    Field(min_length=1, max_length=MOST_KEYS, description="The keys of the records; all must exist."),
]


class NewRecord(BaseModel):
    """A text to store, with a key and metadata of your choice."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    key: Annotated[
        str | None,
        Field(min_length=1, description="A stable name. A record that has it is replaced. Left out, it is derived."),
    ] = None
    metadata: Annotated[
        dict[str, Any] | None, Field(description='A JSON object to filter by, such as {"topic": "pumps"}.')
    ] = None


Records = Annotated[list[NewRecord], Field(min_length=1, max_length=MOST_RECORDS, description="The records to store.")]
