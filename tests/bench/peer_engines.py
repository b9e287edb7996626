"""The engines of peers.py, each behind the same few calls, and the process that serves one of them.

    python tests/bench/peer_engines.py NAME SPEC.json      # started by peers.py; JSON lines in, JSON lines out

Only the engine that is asked for is imported, so this runs under interpreters where the others are missing.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

K = 10
BATCH = 10_000
BUCKETS = 1000  # every bucket is below it, so a search below it is one without a filter
TEXT_QUERIES = 100


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of the corpus."""

    numbers: range
    texts: list[str]
    metadata: list[dict[str, Any]]
    vectors: np.ndarray

    @property
    def keys(self) -> list[str]:
        return [str(number) for number in self.numbers]


@dataclass
class Rows:
    """The corpus on disk, read in batches so that it weighs nothing in an engine's memory; ``seconds`` of reading."""

    texts: str
    vectors: str
    skip: int
    dim: int
    count: int
    seconds: float = 0.0

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        with open(self.texts, encoding="utf-8") as lines, open(self.vectors, "rb") as floats:
            floats.seek(4 * self.dim * self.skip)
            for start in range(0, self.count, size):
                began = time.perf_counter()
                numbers = range(start, min(start + size, self.count))
                rows = [json.loads(next(lines)) for _ in numbers]
                batch = Batch(
                    numbers=numbers,
                    texts=[text for text, _, _ in rows],
                    metadata=[{"lang": language, "bucket": bucket} for _, language, bucket in rows],
                    vectors=np.fromfile(floats, "<f4", len(numbers) * self.dim).reshape(-1, self.dim),
                )
                self.seconds += time.perf_counter() - began
                yield batch


Found = tuple[int, str, int]  # a hit's row number, text and bucket


class Engine:
    """One engine with its default settings; ``home`` is the folder that it may fill."""

    modules: ClassVar[tuple[str, ...]]
    distribution: ClassVar[str]
    filters: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def __init__(self, home: Path, rows: Rows) -> None:
        self.home = home
        self.rows = rows

    def load(self) -> None:
        """Imports the engine."""
        for name in self.modules:
            importlib.import_module(name)

    def create(self) -> None:
        """Makes an empty index."""
        raise NotImplementedError

    def fill(self) -> float | None:
        """Adds all rows until they are durable and found; returns the seconds of a build that follows, if one does."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What a user without a text store does before `open`; not counted."""

    def open(self) -> None:
        raise NotImplementedError

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        """The nearest K rows with their texts and buckets, of those whose bucket is ``below`` it."""
        raise NotImplementedError

    def settings(self) -> str:
        """What the engine chose for itself; asked of an open index."""
        return ""

    def close(self) -> None:
        pass


class Vecindex(Engine):
    modules = ("vecindex", "vecindex.index")  # the package alone loads nothing yet
    distribution = "vecindex"
    note = "bucket is an indexed field; the process that adds holds the model too"

    def create(self) -> None:
        import vecindex

        self.index = vecindex.open(self.home / "index")
        self.space = self.index.encoder.space

    def fill(self) -> float | None:
        record = importlib.import_module("vecindex.records").Record
        self.index.add(
            (
                record(text, key, data, vector)
                for batch in self.rows.batches()
                for text, key, data, vector in zip(batch.texts, batch.keys, batch.metadata, batch.vectors, strict=True)
            ),
            space=self.space,
        )
        began = time.perf_counter()
        self.index.index_field("bucket")
        return time.perf_counter() - began

    def open(self) -> None:
        import vecindex

        self.index = vecindex.open(self.home / "index")

    def search(self, vector: np.ndarray | str, below: int) -> list[Found]:
        where = {"bucket": {"$lt": below}} if below < BUCKETS else None
        hits = self.index.search(vector, k=K, where=where)
        return [(int(hit.key), hit.text, (hit.metadata or {})["bucket"]) for hit in hits]

    def text_queries(self, texts: list[str]) -> dict[str, list[float]]:
        """Milliseconds of searches that begin with a text, and of encoding such texts alone."""
        warm, texts = texts[:10], texts[10:]
        encoder = self.index.encoder
        for text in warm:
            self.search(text, BUCKETS)
            encoder.encode([text], role="query")
        searching: list[float] = []
        encoding: list[float] = []
        for text in texts:
            start = time.perf_counter()
            self.search(text, BUCKETS)
            middle = time.perf_counter()
            encoder.encode([text], role="query")
            searching.append(1000 * (middle - start))
            encoding.append(1000 * (time.perf_counter() - middle))
        return {"searching": searching, "encoding": encoding}

    def close(self) -> None:
        self.index.close()


class Chroma(Engine):
    modules = ("chromadb", "chromadb.config")
    distribution = "chromadb"
    note = "PersistentClient, hnsw:space cosine, added in its largest batches"

    def connect(self) -> Any:
        chromadb: Any = importlib.import_module("chromadb")
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(path=str(self.home), settings=settings)

    def create(self) -> None:
        self.client = self.connect()
        self.collection = self.client.create_collection(
            "rows", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def fill(self) -> float | None:
        for batch in self.rows.batches(self.client.get_max_batch_size()):
            self.collection.add(
                ids=batch.keys, embeddings=batch.vectors, documents=batch.texts, metadatas=batch.metadata
            )
        return None

    def open(self) -> None:
        self.client = self.connect()
        self.collection = self.client.get_collection("rows", embedding_function=None)

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        found = self.collection.query(
            query_embeddings=[vector],
            n_results=K,
            where={"bucket": {"$lt": below}} if below < BUCKETS else None,
            include=["documents", "metadatas", "distances"],
        )
        columns = found["ids"][0], found["documents"][0], found["metadatas"][0]
        return [(int(key), text, data["bucket"]) for key, text, data in zip(*columns, strict=True)]

    def settings(self) -> str:
        chosen = self.collection.configuration_json["hnsw"]
        return ", ".join(f"{name} {chosen[name]}" for name in ("max_neighbors", "ef_construction", "ef_search"))


class Lance(Engine):
    modules = ("lancedb", "lancedb.index", "pyarrow")
    distribution = "lancedb"
    note = "IVF_PQ of create_index, a scalar index on bucket; vectors not fetched"

    def create(self) -> None:
        self.database: Any = importlib.import_module("lancedb").connect(str(self.home))

    def fill(self) -> float | None:
        pa: Any = importlib.import_module("pyarrow")
        vector = pa.list_(pa.float32(), self.rows.dim)
        columns = {"key": pa.string(), "text": pa.string(), "lang": pa.string(), "bucket": pa.int64(), "vector": vector}
        schema = pa.schema(list(columns.items()))

        def batches() -> Iterator[Any]:
            for batch in self.rows.batches():
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(batch.vectors.ravel()), self.rows.dim)
                fields = [[data[name] for data in batch.metadata] for name in ("lang", "bucket")]
                yield pa.record_batch([pa.array(batch.keys), pa.array(batch.texts), *fields, vectors], schema=schema)

        self.table = self.database.create_table("rows", data=batches(), schema=schema)
        began = time.perf_counter()
        self.table.create_index("vector", config=importlib.import_module("lancedb.index").IvfPq(distance_type="cosine"))
        self.table.create_scalar_index("bucket")
        return time.perf_counter() - began

    def open(self) -> None:
        self.create()
        self.table = self.database.open_table("rows")

    def query(self, vector: np.ndarray) -> Any:
        return self.table.search(vector).distance_type("cosine")

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        query = self.query(vector)
        if below < BUCKETS:
            query = query.where(f"bucket < {below}")
        rows = query.select(["key", "text", "lang", "bucket", "_distance"]).limit(K).to_list()
        return [(int(row["key"]), row["text"], row["bucket"]) for row in rows]

    def settings(self) -> str:
        index = next(index for index in self.table.list_indices() if index.name == "vector_idx")
        chosen = index.index_details["compression"]
        return f"{index.index_type} with {chosen['num_sub_vectors']} sub-vectors of {chosen['num_bits']} bits"


class LanceRefined(Lance):
    note = "the same table, searched with nprobes(20).refine_factor(10)"

    def query(self, vector: np.ndarray) -> Any:
        return super().query(vector).nprobes(20).refine_factor(10)


class Txtai(Engine):
    modules = ("txtai",)
    distribution = "txtai"
    note = "content=True, vectors by a transform, searched with SQL, which filters the nearest 10 * k"

    def make(self) -> Any:
        # The function under "transform" finds the vector of a text that was left here just before.
        self.waiting: dict[str, np.ndarray] = {}
        waiting = self.waiting

        def transform(texts: list[str]) -> np.ndarray:
            return np.array([waiting.pop(text) for text in texts], dtype=np.float32)

        self.options = {"method": "external", "transform": transform, "content": True}
        return importlib.import_module("txtai")

    def create(self) -> None:
        self.embeddings = self.make().Embeddings(self.options)

    def fill(self) -> float | None:
        def documents() -> Iterator[tuple[int, dict[str, Any], None]]:
            for batch in self.rows.batches():
                self.waiting.update(zip(batch.texts, batch.vectors, strict=True))
                for number, text, data in zip(batch.numbers, batch.texts, batch.metadata, strict=True):
                    yield number, {"text": text, **data}, None

        self.embeddings.index(documents())
        self.embeddings.save(str(self.home / "index"))
        return None

    def open(self) -> None:
        self.embeddings = self.make().Embeddings()
        self.embeddings.load(str(self.home / "index"), config=self.options)

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        self.waiting["query"] = vector
        where = f" and bucket < {below}" if below < BUCKETS else ""
        sql = f"select id, text, lang, bucket, score from txtai where similar(:query){where}"
        rows = self.embeddings.search(sql, K, parameters={"query": "query"})
        return [(int(row["id"]), row["text"], row["bucket"]) for row in rows]

    def settings(self) -> str:
        config, ann = self.embeddings.config, self.embeddings.ann
        return f"{config['backend']} {config['build']['settings']['components']}, nprobe {ann.nprobe()}"

    def close(self) -> None:
        self.embeddings.close()


class Storeless(Engine):
    """An index of vectors alone: texts and metadata are lists beside it."""

    note = "no store: no durability, no filter"

    def __init__(self, home: Path, rows: Rows) -> None:
        super().__init__(home, rows)
        self.texts: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.path = str(home / "index.bin")

    def keep(self, batch: Batch) -> None:
        self.texts.extend(batch.texts)
        self.metadata.extend(batch.metadata)

    def prepare(self) -> None:
        for batch in self.rows.batches():
            self.keep(batch)

    def fill(self) -> float | None:
        for batch in self.rows.batches():
            self.add(batch)
            self.keep(batch)
        self.save()
        return None

    def add(self, batch: Batch) -> None:
        raise NotImplementedError

    def save(self) -> None:
        raise NotImplementedError

    def rows_of(self, numbers: Any) -> list[Found]:
        return [(n, self.texts[n], self.metadata[n]["bucket"]) for n in map(int, numbers) if n >= 0]

    @cached_property
    def buckets(self) -> np.ndarray:
        return np.array([data["bucket"] for data in self.metadata])


class Usearch(Storeless):
    modules = ("usearch.index",)
    distribution = "usearch"
    filters = False

    def create(self) -> None:
        self.index: Any = importlib.import_module("usearch.index").Index(ndim=self.rows.dim, metric="cos")

    def add(self, batch: Batch) -> None:
        self.index.add(np.array(batch.numbers), batch.vectors)

    def save(self) -> None:
        self.index.save(self.path)

    def open(self) -> None:
        self.index = importlib.import_module("usearch.index").Index.restore(self.path)

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        return self.rows_of(self.index.search(vector, K).keys)

    def settings(self) -> str:
        index = self.index
        expansions = f"expansion_add {index.expansion_add}, expansion_search {index.expansion_search}"
        return f"{index.dtype}, connectivity {index.connectivity}, {expansions}"


class Hnswlib(Storeless):
    modules = ("hnswlib",)
    distribution = "hnswlib"
    note = "no store: no durability; filtered by a Python function; fewer than k found is an error there, 0 hits here"

    def empty(self) -> Any:
        return importlib.import_module("hnswlib").Index(space="cosine", dim=self.rows.dim)

    def create(self) -> None:
        self.index = self.empty()
        self.index.init_index(max_elements=self.rows.count)

    def add(self, batch: Batch) -> None:
        self.index.add_items(batch.vectors, np.array(batch.numbers))

    def save(self) -> None:
        self.index.save_index(self.path)

    def open(self) -> None:
        self.index = self.empty()
        self.index.load_index(self.path)

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        options: dict[str, Any] = {}
        if below < BUCKETS:
            options = {"filter": lambda number: self.metadata[number]["bucket"] < below, "num_threads": 1}
        try:
            numbers, _ = self.index.knn_query(vector, k=K, **options)
        except RuntimeError as error:
            if "contiguous 2D array" not in str(error):
                raise
            return []
        return self.rows_of(numbers[0])

    def settings(self) -> str:
        return f"M {self.index.M}, ef_construction {self.index.ef_construction}, ef {self.index.ef}"


class FaissFlat(Storeless):
    modules = ("faiss",)
    distribution = "faiss-cpu"
    note = "no store: no durability; filtered by an IDSelectorBitmap made for each query; IndexFlatIP"

    def create(self) -> None:
        faiss: Any = importlib.import_module("faiss")
        self.index: Any = faiss.IndexFlatIP(self.rows.dim)

    def add(self, batch: Batch) -> None:
        self.index.add(batch.vectors)

    def save(self) -> None:
        faiss: Any = importlib.import_module("faiss")
        faiss.write_index(self.index, self.path)

    def open(self) -> None:
        faiss: Any = importlib.import_module("faiss")
        self.index = faiss.read_index(self.path)

    def parameters(self, selector: Any) -> Any:
        faiss: Any = importlib.import_module("faiss")
        return faiss.SearchParameters(sel=selector)

    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        faiss: Any = importlib.import_module("faiss")
        options: dict[str, Any] = {}
        if below < BUCKETS:
            selector = faiss.IDSelectorBitmap(np.packbits(self.buckets < below, bitorder="little"))
            options = {"params": self.parameters(selector)}
        _, numbers = self.index.search(vector[None], K, **options)
        return self.rows_of(numbers[0])


class FaissHnsw(FaissFlat):
    note = "no store: no durability; filtered by an IDSelectorBitmap made for each query; IndexHNSWFlat with M 32"

    def create(self) -> None:
        faiss: Any = importlib.import_module("faiss")
        self.index = faiss.IndexHNSWFlat(self.rows.dim, 32, faiss.METRIC_INNER_PRODUCT)

    def parameters(self, selector: Any) -> Any:
        faiss: Any = importlib.import_module("faiss")
        # Parameters replace all of the index's own, efSearch too.
        return faiss.SearchParametersHNSW(sel=selector, efSearch=self.index.hnsw.efSearch)

    def settings(self) -> str:
        return f"efConstruction {self.index.hnsw.efConstruction}, efSearch {self.index.hnsw.efSearch}"


ENGINES: dict[str, type[Engine]] = {
    **{"vecindex": Vecindex, "chroma": Chroma, "lancedb": Lance, "lancedb refined": LanceRefined, "txtai": Txtai},
    **{"usearch": Usearch, "hnswlib": Hnswlib, "faiss flat": FaissFlat, "faiss hnsw": FaissHnsw},
}
FILLED_BY = {"lancedb refined": "lancedb"}


def peak_mib() -> float:
    """The most memory that this process has held."""
    # Linux hands ru_maxrss on from the process that started this one; VmHWM begins anew.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


class Served:
    """What peers.py may ask of one engine, by name."""

    def __init__(self, engine: Engine, spec: dict[str, Any]) -> None:
        self.engine = engine
        self.queries: np.ndarray = np.load(spec["queries"])
        self.texts: list[str] = spec["query_texts"]
        self.filter_queries: int = spec["filter_queries"]
        self.warm: int = spec["warm"]

    def add(self) -> dict[str, Any]:
        """Fills a new index."""
        self.engine.load()
        self.engine.create()
        began = time.perf_counter()
        build = self.engine.fill()
        seconds = time.perf_counter() - began - self.engine.rows.seconds
        return {"seconds": seconds, "build": build, "peak": peak_mib()}

    def open(self) -> dict[str, Any]:
        """Opens an index that is there already, and asks one query."""
        began = time.perf_counter()
        self.engine.load()
        imported = time.perf_counter() - began
        self.engine.prepare()
        began = time.perf_counter()
        self.engine.open()
        self.engine.search(self.queries[-1], BUCKETS)
        opened = time.perf_counter() - began
        settings = ""
        with contextlib.suppress(Exception):  # where another version keeps them is no failure of the engine
            settings = self.engine.settings()
        version = importlib.metadata.version(self.engine.distribution)
        return {"import": imported, "open": opened, "version": version, "settings": settings}

    def round(self, below: int, hits: bool) -> dict[str, Any]:
        """One pass over the queries: the milliseconds of each, and its hits if wanted. The last ``warm`` warm up."""
        queries = self.queries[: -self.warm]
        if below < BUCKETS:
            queries = queries[: self.filter_queries]
        for vector in self.queries[-self.warm :]:
            self.engine.search(vector, below)
        times: list[float] = []
        found: list[list[Found]] = []
        for vector in queries:
            began = time.perf_counter()
            rows = self.engine.search(vector, below)
            times.append(1000 * (time.perf_counter() - began))
            found.append(rows)
        return {"times": times, "hits": found if hits else [], "peak": peak_mib()}

    def text(self) -> dict[str, Any]:
        """Queries given as texts; only vecindex encodes them."""
        return self.engine.text_queries(self.texts) if isinstance(self.engine, Vecindex) else {}


def serve(name: str, spec: dict[str, Any]) -> None:
    """Answers each line of standard input with one line: a result, ``skip`` or ``error``."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what an engine prints is no answer
    home = Path(spec["home"]) / FILLED_BY.get(name, name).replace(" ", "-")
    home.mkdir(exist_ok=True)
    engine = ENGINES[name](home, Rows(**spec["rows"]))
    served = Served(engine, spec)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(served, command.pop("do"))(**command)
        except ModuleNotFoundError as error:
            answer = {"skip": f"{error.name} is not installed"}
        except Exception as error:  # whatever a peer raises is its result
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    with contextlib.suppress(AttributeError):  # of an engine that could not be opened
        engine.close()


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
