"""What Dagster is told of an artifact."""

from collections.abc import Mapping

import dagster as dg

from pipelines.home import Built, Json


def materialized(*built: Built, now: Mapping[str, Json] | None = None) -> dg.MaterializeResult[None]:
    """Counts, and whether the artifact was kept, as metadata; the last one's fingerprint as data version.

    now: what is so at this run, whether the artifact was kept or not.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    for one in built:
        metadata |= {key: _value(fact) for key, fact in one.facts.items()}
    metadata |= {key: _value(fact) for key, fact in (now or {}).items()}
    metadata["reused"] = dg.MetadataValue.bool(all(one.reused for one in built))
    metadata["seconds"] = dg.MetadataValue.float(round(sum(one.seconds for one in built), 2))
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(built[-1].fingerprint[:16]))


def _value(fact: Json) -> dg.MetadataValue:
    if isinstance(fact, bool):
        return dg.MetadataValue.bool(fact)
    if isinstance(fact, int):
        return dg.MetadataValue.int(fact)
    if isinstance(fact, float):
        return dg.MetadataValue.float(fact)
    if isinstance(fact, str):
        return dg.MetadataValue.text(fact)
    return dg.MetadataValue.json(fact if isinstance(fact, dict | list) else [])
