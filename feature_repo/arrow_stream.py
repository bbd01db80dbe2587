"""Answers of a look-up as an Arrow IPC stream."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from feature_repo.lookup import STATUSES, Part
from feature_repo.schema import EVENT_TIMESTAMP, TIMESTAMP
from feature_repo.stores.packed_layout import NEVER

MEDIA_TYPE: Final = "application/vnd.apache.arrow.stream"

_NAMES: Final = pa.array(STATUSES)


def as_stream(answer: Sequence[Part]) -> bytes:
    """One batch, a row for each entity: the columns of all parts, then two of each view.

    `VIEW:status` holds the names of `STATUSES`; `VIEW:event_timestamp` is null where there is no row, and for views
    that are computed on demand.
    """
    columns = {name: column for part in answer for name, column in part.columns.items()}
    for part in answer:
        if part.view:
            moments = pa.array(part.event_us, mask=part.event_us == NEVER).cast(TIMESTAMP)
            columns[f"{part.view}:status"] = pa.DictionaryArray.from_arrays(part.statuses, _NAMES)
            columns[f"{part.view}:{EVENT_TIMESTAMP}"] = moments
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body
