"""Online features that are asked for by themselves, whether a release is loaded or not."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from feature_repo.asked import Asked
from feature_repo.feast_json import Value, first_values
from feature_repo.lookup import NOT_FOUND, Entities, Part, look_up
from feature_repo.store import Store
from ranking.errors import UnknownEntityError
from ranking.serving.store_calls import StoreCalls


def looked_up(store: Store, calls: StoreCalls, entities: Entities, asked: Asked, *, at: datetime) -> list[Part]:
    """What `look_up` returns; raises as it does, and `StoreUnavailableError` too where the store takes too long."""
    n = max(map(len, entities.values()), default=0)
    return calls.run(lambda: look_up(store, entities, asked, at=at), entities=n)


def one_of_each(entities: Mapping[str, str], parts: Sequence[Part]) -> dict[str, Value]:
    """Features by name of one entity of each kind, which `parts` has.

    Raises:
        UnknownEntityError: nothing is stored of them.
    """
    _, *views = parts
    if all((one.statuses == NOT_FOUND).all() for one in views):
        raise UnknownEntityError(
            f"{', '.join(f'{key} {one!r}' for key, one in entities.items())}: the online store knows nothing of "
            "it; check the id, or post its first event"
        )
    return first_values(views)
