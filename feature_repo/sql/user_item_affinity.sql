-- Which categories a user likes, lately more than long ago.
-- inputs: spine(user_id, event_timestamp), events. grain: one row a spine row whose user has interacted before.
-- window: since ever; a positive's weight halves every 180 days. time rule: occurred_at < event_timestamp.
-- Weights are shares of the user's total. The halving since an event, 2^-((now - occurred_at) / 180 days), has the
-- factor 2^(-now / 180 days) in every term, which a share cancels: between two events the shares stand still. What is
-- summed is 2^(occurred_at / 180 days), counted from 1970: a double holds it for the next 400 years.
with liked as (
    select user_id, occurred_at, weight, unnest(list_distinct(categories)) as category
    from events
    where weight > 0 and positive
),
running as (
    select
        user_id,
        category,
        occurred_at,
        sum(weight * 2 ** (epoch_us(occurred_at) / (180 * 86400e6))) over upto as affinity
    from liked
    window upto as (partition by user_id, category order by occurred_at range unbounded preceding)
),
held as (
    select spine.user_id, spine.event_timestamp, known.category, running.affinity
    from spine
    join (select distinct user_id, category from running) as known using (user_id)
    asof join running
        on running.user_id = spine.user_id
        and running.category = known.category
        and running.occurred_at < spine.event_timestamp
    qualify row_number() over (
        partition by spine.user_id, spine.event_timestamp order by affinity desc, known.category
    ) <= 20
),
affinities as (
    select
        user_id,
        event_timestamp,
        list(category order by category) as categories,
        list(affinity order by category) as affinities,
        sum(affinity) as total
    from held
    group by all
),
latest as (  -- categories of the items of each moment
    select user_id, occurred_at, list(categories) as categories
    from events
    where weight > 0
    group by all
)
select
    spine.user_id,
    spine.event_timestamp,
    coalesce(affinities.categories, []) as affinity_categories,
    coalesce([(a / affinities.total)::float for a in affinities.affinities], []) as affinity_weights,
    list_sort(list_distinct(flatten(latest.categories))) as last_categories
from spine
asof join latest
    on latest.user_id = spine.user_id and latest.occurred_at < spine.event_timestamp
left join affinities
    on affinities.user_id = spine.user_id and affinities.event_timestamp = spine.event_timestamp
