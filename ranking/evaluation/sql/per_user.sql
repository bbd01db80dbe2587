-- Metrics of one model ($protocol, $model), defined in metrics.py.
-- Grain: slice, user; every user with a relevant item in the slice has a row, with zeros if nothing was found.
insert into per_user
with wanted as (
    select slice, user_id, item_id from targets where protocol = $protocol
),
needed as (
    select slice, user_id, count(*) as relevant from wanted group by slice, user_id
),
ideal as (
    select relevant, sum(1 / log2(relevant + 1)) over (order by relevant) as dcg from range(1, 11) as r (relevant)
),
hits as (
    select slice, user_id, rank
    from rankings
    join wanted using (user_id, item_id)
    where protocol = $protocol and model = $model
),
found as (
    select
        slice,
        user_id,
        sum(1 / log2(rank + 1)) filter (rank <= 10) as dcg,
        count(*) filter (rank <= 10) as top10,
        count(*) filter (rank <= 50) as top50,
        count(*) filter (rank <= 200) as top200,
        min(rank) as first_rank
    from hits
    group by slice, user_id
)
select
    $protocol,
    $model,
    slice,
    user_id,
    coalesce(found.dcg, 0) / ideal.dcg,
    coalesce(top10, 0) / needed.relevant,
    coalesce(top50, 0) / needed.relevant,
    coalesce(top200, 0) / needed.relevant,
    if(first_rank <= 10, 1 / first_rank, 0),
    if(first_rank <= 10, 1, 0)
from needed
join ideal on ideal.relevant = least(needed.relevant, 10)
left join found using (slice, user_id)
