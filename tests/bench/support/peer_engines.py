"""The engines of peers.py. Only the one that is asked for is imported: its interpreter may lack the others."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from support.peer_base import BUCKETS, Batch, Engine, Found, K, Storeless


class Vecindex(Engine):
    modules = ("vecindex", "vecindex.index.facade")  # the package alone loads nothing yet
    distribution = "vecindex"
    note = "bucket is an indexed field; the process that adds holds the model too"

    def create(self) -> None:
        import vecindex

        self.index = vecindex.open(self.home / "index")
        self.space = self.index.encoder.space

    def fill(self) -> float | None:
        record = importlib.import_module("vecindex.values.records").Record
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
