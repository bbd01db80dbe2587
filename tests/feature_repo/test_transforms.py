from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import transforms
from feature_repo.columns import Column, columns_of, table_of

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def match_of(rows: pa.Table) -> pa.Table:
    return table_of(transforms.user_item_match(columns_of(rows)))


def context_of(rows: pa.Table) -> pa.Table:
    return table_of(transforms.request_context(columns_of(rows)))


def match(**known: object) -> dict[str, object]:
    """The features of one row of which only this is known, asked on Monday at midnight."""
    row = {"as_of": us(MONDAY), "requested_at": us(MONDAY), **known}
    made = match_of(pa.Table.from_pylist([row], transforms.MATCH)).to_pylist()
    assert len(made) == 1
    return dict(made[0])


@pytest.mark.parametrize(
    ("moment", "hour", "weekday", "daypart", "weekend"),
    [
        (MONDAY, 0, 0, 0, False),
        (MONDAY - timedelta(microseconds=1), 23, 6, 3, True),
        (MONDAY + timedelta(days=4, hours=6), 6, 4, 1, False),
        (MONDAY + timedelta(days=5, hours=17, minutes=59), 17, 5, 2, True),
        (datetime(1970, 1, 1, tzinfo=UTC), 0, 3, 0, False),
    ],
)
def test_hour_and_weekday_are_those_of_the_request(
    moment: datetime, hour: int, weekday: int, daypart: int, weekend: bool
) -> None:
    row = {"as_of": 0, "requested_at": us(moment), "device": "tv", "place": None}
    assert (moment.hour, moment.weekday()) == (hour, weekday)
    assert context_of(pa.Table.from_pylist([row], transforms.REQUEST)).to_pylist() == [
        {
            "context_hour": hour,
            "context_weekday": weekday,
            "context_daypart": daypart,
            "context_is_weekend": weekend,
            "context_device": "tv",
            "context_place": None,
        }
    ]


def test_category_affinity_is_the_mean_share_over_the_items_categories() -> None:
    row = match(
        affinity_categories=["x", "y"], affinity_weights=[0.75, 0.25], categories=["y", "z"], last_categories=[]
    )
    assert row["category_affinity"] == 0.125
    assert row["last_category_overlap"] == 0.0
    assert match(last_categories=["z", "x"], categories=["x", "y"])["last_category_overlap"] == 0.5


def test_a_match_of_unknowns_is_null() -> None:
    assert match() == {
        "category_affinity": None,
        "last_category_overlap": None,
        "daypart_lift": 1.0,
        "weekend_lift": 1.0,
        "device_lift": None,
        "place_lift": None,
        "item_age_s": None,
        "item_idle_s": None,
        "user_idle_s": None,
    }
    assert match(affinity_categories=["x"], affinity_weights=[1.0], categories=[])["category_affinity"] is None


def test_lifts_compare_with_an_even_spread_as_if_ten_had_been_spread_evenly_before() -> None:
    chosen = {"item_night": 10, "item_morning": 0, "item_afternoon": 0, "item_evening": 0, "item_weekend": 0}
    assert match(**chosen)["daypart_lift"] == pytest.approx((10 / (1 / 4) + 10) / 20)
    assert match(**chosen)["weekend_lift"] == pytest.approx((10 / (5 / 7) + 10) / 20)
    saturday = us(MONDAY + timedelta(days=5, hours=6))
    assert match(**chosen, requested_at=saturday)["daypart_lift"] == 0.5
    assert match(**chosen, requested_at=saturday)["weekend_lift"] == 0.5


def test_a_lift_of_a_named_context_spreads_evenly_over_the_names_known() -> None:
    devices = {"item_devices": ["phone", "tv", "watch"], "item_device_counts": [6, 3, 1]}
    assert match(**devices, device="phone")["device_lift"] == pytest.approx((6 * 3 + 10) / 20)
    assert match(**devices, device="fridge")["device_lift"] == 0.5
    assert match(item_places=[], item_place_counts=[], place="home")["place_lift"] == 1.0
    assert match(item_places=["home"], item_place_counts=[10], place="home")["place_lift"] == 1.5


def test_ages_count_to_the_moment_up_to_which_is_known() -> None:
    row = match(
        requested_at=us(MONDAY + timedelta(days=9)),
        created_at=us(MONDAY - timedelta(days=1)),
        item_last_event_at=us(MONDAY - timedelta(hours=1)),
        user_last_event_at=us(MONDAY - timedelta(microseconds=1)),
    )
    assert (row["item_age_s"], row["item_idle_s"], row["user_idle_s"]) == (86400.0, 3600.0, 1e-6)


def test_each_row_is_matched_on_its_own() -> None:
    rows = [
        {"affinity_categories": ["x"], "affinity_weights": [1.0], "categories": ["x"]},
        {"affinity_categories": None, "affinity_weights": None, "categories": ["x"]},
        {"affinity_categories": ["y", "x"], "affinity_weights": [0.25, 0.75], "categories": ["x", "y"]},
        {"item_devices": ["tv"], "item_device_counts": [9], "device": "tv"},
    ]
    table = pa.Table.from_pylist([{"as_of": 1, "requested_at": 1, **row} for row in rows], transforms.MATCH)
    together = match_of(table).to_pylist()
    assert together == [match_of(table.slice(place, 1)).to_pylist()[0] for place in range(4)]
    assert [row["category_affinity"] for row in together] == [1.0, None, 0.5, None]


def test_what_rows_share_is_matched_as_if_each_had_its_own() -> None:
    user = {"affinity_categories": ["y", "x"], "affinity_weights": [0.25, 0.75], "last_categories": ["x"]}
    asked = {"as_of": us(MONDAY), "requested_at": us(MONDAY), "device": "tv", "place": None}
    items = [
        {"categories": ["x", "z"], "item_devices": ["tv"], "item_device_counts": [9], "item_night": 3},
        {"categories": None, "created_at": 1},
        {"categories": ["y"], "item_devices": ["phone"], "item_device_counts": [2]},
    ]
    each = columns_of(pa.Table.from_pylist([user | asked | item for item in items], transforms.MATCH))
    first = np.zeros(len(items), np.int64)
    shared = each | {name: Column(each[name].values.slice(0, 1), first) for name in [*user, *asked]}
    for transform in (transforms.user_item_match, transforms.request_context):
        assert table_of(transform(shared)).equals(table_of(transform(each)))


def test_no_rows_give_no_rows() -> None:
    assert len(match_of(transforms.MATCH.empty_table())) == 0
    assert len(context_of(transforms.REQUEST.empty_table())) == 0


def test_a_data_frame_from_feast_is_read_like_the_table() -> None:
    rows = pa.Table.from_pylist(
        [
            {"as_of": us(MONDAY), "requested_at": us(MONDAY), "created_at": 1, "categories": ["x"]},
            {"as_of": us(MONDAY), "requested_at": us(MONDAY), "affinity_categories": ["x"], "affinity_weights": [1.0]},
        ],
        transforms.MATCH,
    )
    made = transforms.on_frame(transforms.user_item_match, transforms.MATCH, rows.to_pandas())
    assert made.equals(match_of(rows).to_pandas())
