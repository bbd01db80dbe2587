-- What a slice's users are shown together in their top 10, of one model ($protocol, $model). Grain: slice.
-- coverage: share of the catalogue. gini: of how often each item is shown, as metrics.py has it; the items that are
-- never shown come first in the order of the sum and add nothing to it.
insert into exposure
with shown as (
    select user_id, item_id from rankings where protocol = $protocol and model = $model and rank <= 10
),
users as (
    select slice, user_id from slice_users where protocol = $protocol
),
slices as (
    select distinct slice, items from users, protocols where protocol = $protocol
),
times as (
    select slice, item_id, count(*) as x from users join shown using (user_id) group by slice, item_id
),
placed as (
    select slice, x, row_number() over (partition by slice order by x desc) as place from times
),
summed as (
    select slice, count(*) as items_shown, sum((items - 2 * place + 1) * x) / (any_value(items) * sum(x)) as gini
    from placed
    join slices using (slice)
    group by slice
)
select $protocol, $model, slice, coalesce(items_shown, 0) / items, gini
from slices
left join summed using (slice)
