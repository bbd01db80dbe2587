-- Share of the catalogue in the top 10 of a slice's users, of one model ($protocol, $model). Grain: slice.
insert into coverage
with shown as (
    select user_id, item_id from rankings where protocol = $protocol and model = $model and rank <= 10
),
users as (
    select distinct slice, user_id from targets where protocol = $protocol
),
distinct_items as (
    select slice, count(distinct item_id) as items from users left join shown using (user_id) group by slice
)
select $protocol, $model, slice, distinct_items.items / protocols.items
from distinct_items, protocols
where protocol = $protocol
