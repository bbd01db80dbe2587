-- Relevant (user, item) pairs by slice, of one protocol ($protocol).
-- Grain: slice, user, item. Slices over items restrict what is relevant, not what is ranked.
--   all                            users with a history: the headline
--   warm_items, cold_items         with and without a training interaction
--   head_items, tail_items         warm items: the most popular ones that hold half of all training interactions; others
--   short_, medium_, long_history  thirds of the users by number of training interactions
--   new_users                      users without a training interaction; in no other slice
insert into targets
with popularity as (
    select item_id, count(*) as events
    from splits
    where protocol = $protocol and part = 'train'
    group by item_id
),
running as (
    select
        item_id,
        sum(events) over () as total,
        sum(events) over (order by events desc, item_id rows unbounded preceding) - events as more_popular
    from popularity
),
bands as (
    select item_id, if(more_popular * 2 < total, 'head_items', 'tail_items') as band from running
),
relevant as (
    select distinct user_id, item_id from splits where protocol = $protocol and relevant
),
known as (
    select user_id, ntile(3) over (order by history, user_id) as third
    from queries
    where protocol = $protocol and history > 0
),
sliced as (
    select
        user_id,
        item_id,
        unnest([
            'all',
            if(band is null, 'cold_items', 'warm_items'),
            band,
            ['short_history', 'medium_history', 'long_history'][third]
        ]) as slice
    from relevant
    join known using (user_id)
    left join bands using (item_id)
    union all
    select user_id, item_id, 'new_users' as slice
    from relevant
    join queries using (user_id)
    where protocol = $protocol and history = 0
)
select $protocol, slice, user_id, item_id from sliced where slice is not null
