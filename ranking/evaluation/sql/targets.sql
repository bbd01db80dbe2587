-- Relevant (user, item) pairs by slice over items, of one protocol ($protocol).
-- Grain: slice, user, item. Slices over items restrict what is relevant, not what is ranked.
--   all                     users with a history: the headline
--   warm_items, cold_items  with and without a training interaction
--   head_items, tail_items  warm items: the most popular ones that hold half of all training interactions; others
--   rare_items              items with at most five training interactions, cold ones among them
--   new_users               users without a training interaction; in no other slice
insert into targets
with running as (
    select
        item_id,
        events,
        sum(events) over () as total,
        sum(events) over (order by events desc, item_id rows unbounded preceding) - events as more_popular
    from catalogue
    where protocol = $protocol
),
relevant as (
    select distinct user_id, item_id, history
    from splits
    join queries using (protocol, user_id)
    where protocol = $protocol and relevant
),
sliced as (
    select
        user_id,
        item_id,
        unnest([
            'all',
            if(events > 0, 'warm_items', 'cold_items'),
            case when events > 0 then if(more_popular * 2 < total, 'head_items', 'tail_items') end,
            if(events <= 5, 'rare_items', null)
        ]) as slice
    from relevant
    join running using (item_id)
    where history > 0
    union all
    select user_id, item_id, 'new_users' as slice
    from relevant
    where history = 0
)
select $protocol, slice, user_id, item_id from sliced where slice is not null
