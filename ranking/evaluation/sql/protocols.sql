-- What was asked. Grain and order: protocol.
-- cold_item_share: share of the relevant (user, item) pairs whose item has no training interaction.
with pairs as (
    select
        protocol,
        count(distinct user_id) filter (slice = 'all') as users,
        count(distinct user_id) filter (slice = 'new_users') as new_users,
        count(*) filter (slice = 'cold_items') / nullif(count(*) filter (slice = 'all'), 0) as cold_item_share
    from targets
    group by protocol
),
reach as (
    select protocol, avg(recall) as candidate_recall, avg(candidates) as candidates from candidates group by protocol
)
select
    protocol,
    split,
    items,
    coalesce(users, 0) as users,
    coalesce(new_users, 0) as new_users,
    coalesce(cold_item_share, 0) as cold_item_share,
    candidate_recall,
    candidates
from protocols
left join pairs using (protocol)
left join reach using (protocol)
order by protocol
