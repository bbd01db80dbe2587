-- What a user has done so far.
-- inputs: spine(user_id, event_timestamp), events. grain: one row a spine row whose user has acted before.
-- windows: 1, 7, 28 and 365 days, and since ever. time rule: occurred_at < event_timestamp.
-- Each window is a difference of two running totals, so the cost does not grow with the window.
-- Counted are cases, not rows with a filter: over a window, DuckDB counts those in quadratic time.
with counted as (
    select
        user_id,
        occurred_at,
        weight > 0 as chosen,
        weight > 0 and positive as liked,
        weight = 0 as shown,
        false as discovery,
        case when weight > 0 then value::double end as value,
        case when weight > 0 then epoch_us(occurred_at) end as chosen_at
    from events
    union all  -- first interaction of the user with each category: another row at a moment that has one already
    select user_id, min(occurred_at), false, false, false, true, null, null
    from (select user_id, occurred_at, unnest(categories) as category from events where weight > 0)
    group by user_id, category
),
running as (  -- totals of the user up to and with each moment (range: rows of one moment share them)
    select
        user_id,
        occurred_at,
        count(case when chosen then 1 end) over upto as interactions,
        count(case when liked then 1 end) over upto as positives,
        count(case when shown then 1 end) over upto as impressions,
        count(case when discovery then 1 end) over upto as categories,
        count(value) over upto as valued,
        sum(value) over upto as value_total,
        min(chosen_at) over upto as first_at,
        max(chosen_at) over upto as last_at
    from counted
    window upto as (partition by user_id order by occurred_at range unbounded preceding)
)
select
    spine.user_id,
    spine.event_timestamp,
    ever.interactions - coalesce(d1.interactions, 0) as user_interactions_1d,
    ever.interactions - coalesce(d7.interactions, 0) as user_interactions_7d,
    ever.interactions - coalesce(d28.interactions, 0) as user_interactions_28d,
    ever.interactions - coalesce(d365.interactions, 0) as user_interactions_365d,
    ever.interactions as user_interactions,
    ever.positives - coalesce(d1.positives, 0) as user_positives_1d,
    ever.positives - coalesce(d7.positives, 0) as user_positives_7d,
    ever.positives - coalesce(d28.positives, 0) as user_positives_28d,
    ever.positives - coalesce(d365.positives, 0) as user_positives_365d,
    ever.positives as user_positives,
    ever.impressions - coalesce(d7.impressions, 0) as user_impressions_7d,
    (ever.value_total / ever.valued)::float as user_mean_value,
    ever.categories as user_categories,
    ever.first_at as user_first_event_at,
    ever.last_at as user_last_event_at
from spine
asof join running as ever
    on ever.user_id = spine.user_id and ever.occurred_at < spine.event_timestamp
asof left join running as d1
    on d1.user_id = spine.user_id and d1.occurred_at < spine.event_timestamp - interval 1 day
asof left join running as d7
    on d7.user_id = spine.user_id and d7.occurred_at < spine.event_timestamp - interval 7 day
asof left join running as d28
    on d28.user_id = spine.user_id and d28.occurred_at < spine.event_timestamp - interval 28 day
asof left join running as d365
    on d365.user_id = spine.user_id and d365.occurred_at < spine.event_timestamp - interval 365 day
