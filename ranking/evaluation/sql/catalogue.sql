-- How popular and how surprising each item is, of one protocol ($protocol); reads `ids` (item_id), the whole catalogue.
-- Grain: item. The definitions are those of self_information and popularity_percentile in metrics.py.
insert into catalogue
with train as (
    select user_id, item_id from splits where protocol = $protocol and part = 'train'
),
everybody as (
    select greatest(count(distinct user_id), 1) as users from train
),
counted as (
    select item_id, count(train.user_id) as events, count(distinct train.user_id) as choosers
    from ids
    left join train using (item_id)
    group by item_id
),
placed as (
    select
        *,
        rank() over (order by events) - 1 as fewer,
        count(*) over (partition by events) as equally,
        count(*) over () as items
    from counted
)
select $protocol, item_id, events, log2(users / greatest(choosers, 1)), (fewer + equally / 2) / items
from placed, everybody
