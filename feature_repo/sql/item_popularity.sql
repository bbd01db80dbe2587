-- What has been done with an item so far.
-- inputs: spine(item_id, event_timestamp), events. grain: one row a spine row whose item has any event before.
-- windows: 1, 7, 28 and 365 days, and since ever. time rule: occurred_at < event_timestamp.
-- Each window is a difference of two running totals, so the cost does not grow with the window.
-- Counted are cases, not rows with a filter: over a window, DuckDB counts those in quadratic time.
with running as (  -- totals of the item up to and with each moment (range: events of one moment share them)
    select
        item_id,
        occurred_at,
        count(case when weight > 0 then 1 end) over upto as interactions,
        count(case when weight > 0 and positive then 1 end) over upto as positives,
        count(case when weight = 0 then 1 end) over upto as impressions,
        count(value) filter (weight > 0) over upto as valued,
        sum(value::double) filter (weight > 0) over upto as value_total,
        min(epoch_us(occurred_at)) filter (weight > 0) over upto as first_at,
        max(epoch_us(occurred_at)) filter (weight > 0) over upto as last_at
    from events
    window upto as (partition by item_id order by occurred_at range unbounded preceding)
),
counted as (
    select
        spine.item_id,
        spine.event_timestamp,
        ever,
        ever.interactions - coalesce(d1.interactions, 0) as interactions_1d,
        ever.interactions - coalesce(d7.interactions, 0) as interactions_7d,
        ever.interactions - coalesce(d28.interactions, 0) as interactions_28d,
        ever.interactions - coalesce(d365.interactions, 0) as interactions_365d,
        ever.positives - coalesce(d1.positives, 0) as positives_1d,
        ever.positives - coalesce(d7.positives, 0) as positives_7d,
        ever.positives - coalesce(d28.positives, 0) as positives_28d,
        ever.positives - coalesce(d365.positives, 0) as positives_365d,
        ever.impressions - coalesce(d28.impressions, 0) as impressions_28d
    from spine
    asof join running as ever
        on ever.item_id = spine.item_id and ever.occurred_at < spine.event_timestamp
    asof left join running as d1
        on d1.item_id = spine.item_id and d1.occurred_at < spine.event_timestamp - interval 1 day
    asof left join running as d7
        on d7.item_id = spine.item_id and d7.occurred_at < spine.event_timestamp - interval 7 day
    asof left join running as d28
        on d28.item_id = spine.item_id and d28.occurred_at < spine.event_timestamp - interval 28 day
    asof left join running as d365
        on d365.item_id = spine.item_id and d365.occurred_at < spine.event_timestamp - interval 365 day
)
select
    item_id,
    event_timestamp,
    interactions_1d as item_interactions_1d,
    interactions_7d as item_interactions_7d,
    interactions_28d as item_interactions_28d,
    interactions_365d as item_interactions_365d,
    ever.interactions as item_interactions,
    positives_1d as item_positives_1d,
    positives_7d as item_positives_7d,
    positives_28d as item_positives_28d,
    positives_365d as item_positives_365d,
    ever.positives as item_positives,
    impressions_28d as item_impressions_28d,
    -- interactions per event of the last 28 days, as if 20 events with 1 interaction had come before
    ((interactions_28d + 1) / (interactions_28d + impressions_28d + 20))::float as item_response_rate_28d,
    (ever.value_total / ever.valued)::float as item_mean_value,
    -- as if one positive and one negative had come before
    ((ever.positives + 1) / (ever.interactions + 2))::float as item_positive_share,
    ever.first_at as item_first_event_at,
    ever.last_at as item_last_event_at
from counted
