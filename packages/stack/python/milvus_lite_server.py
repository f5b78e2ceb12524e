"""The command `milvus-lite`, in a Python set for short requests beside long ones, with one count of words for all rows, and with cheaper writes."""

import copy
import functools
import gc
import itertools
import sys
import threading

import pyarrow
import pyarrow.parquet
from milvus_lite.analyzer import protocol
from milvus_lite.cmdline import main
from milvus_lite.engine.collection import Collection
from milvus_lite.index.sparse_inverted import SparseInvertedIndex
from milvus_lite.storage.memtable import MemTable


class DocumentFrequencies:
    """In how many texts a term is, over several indexes."""

    def __init__(self, indexes):
        self._indexes = indexes

    def __getitem__(self, term):
        return sum(index._df.get(term, 0) for index in self._indexes)


def count_words_of_all_segments():
    """BM25 weighs a term by how rare it is. Milvus Lite counts that per segment, so that the score of a row depends on which rows it was flushed with: rows of
    a small segment score less, and one list of several segments' hits is out of order. Here every segment is searched by the counts of all of them."""
    search_collection, search_segment = Collection._search_sparse, SparseInvertedIndex.search
    request = threading.local()

    def search_all(self, query_vectors, vector_field, *args, **kwargs):
        segments, _ = self._read_snapshot()
        filled = [segment for segment in segments if segment.table is not None and len(segment.table) > 0]
        if any(vector_field not in segment.sparse_indexes for segment in filled):
            search_collection(self, query_vectors, vector_field, *args, **kwargs)  # indexes what was flushed since the last search
        request.indexes = [segment.sparse_indexes[vector_field] for segment in filled if vector_field in segment.sparse_indexes]
        try:
            return search_collection(self, query_vectors, vector_field, *args, **kwargs)
        finally:
            request.indexes = []

    def search_one(self, *args, **kwargs):
        indexes = getattr(request, "indexes", [])
        # Rows in memory are indexed for each search anew, and count for themselves only.
        counted = indexes if any(index is self for index in indexes) else [*indexes, self]
        whole = copy.copy(self)
        whole.doc_count = sum(index.doc_count for index in counted)
        whole.avgdl = sum(index.doc_count * index.avgdl for index in counted) / max(whole.doc_count, 1)
        whole._df = DocumentFrequencies(counted)
        return search_segment(whole, *args, **kwargs)

    Collection._search_sparse, SparseInvertedIndex.search = search_all, search_one


def write_cheaply():
    """Three things that Milvus Lite does for every row it is given, and that took a quarter of its processor time in an ingest. What it stores stays the same."""

    def take_rows(self, rows):
        # Lite makes a Python object of every number of every row, and Arrow of it again.
        starts = list(itertools.accumulate((batch.num_rows for batch in self._insert_batches), initial=0))
        table = pyarrow.Table.from_batches(self._insert_batches).select(self._data_schema.names)
        return table.take(pyarrow.array([starts[batch] + row for batch, row in rows], pyarrow.int64()))

    MemTable._build_data_table = take_rows
    # Parquet looks for values that come again, which the numbers of vectors do not: files get larger by it.
    pyarrow.parquet.write_table = functools.partial(pyarrow.parquet.write_table, use_dictionary=False)
    # A word's hash is computed letter by letter, and words come again.
    protocol.term_to_id = functools.lru_cache(maxsize=50_000)(protocol.term_to_id)


def take_short_turns():
    """Python's search for cycles of garbage by default goes through everything in memory each time that grew by a quarter, 70 ms and more in which nothing else
    runs: it becomes rare, and what is loaded at the start is left out of it for good. And of two threads that want to run, one waits 0.5 ms for its turn instead of
    5, which a search beside a flush or another search does many times."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    sys.setswitchinterval(0.0005)


if __name__ == "__main__":
    count_words_of_all_segments()
    write_cheaply()
    take_short_turns()
    sys.argv[0] = "milvus-lite"
    sys.exit(main())
