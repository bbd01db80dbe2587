-- Metrics of one model ($protocol, $model), defined in metrics.py; reads `diversities` (user_id, value).
-- Grain: slice over items, user; every user with a relevant item in the slice has a row, with zeros if nothing was found.
-- What a user is shown (novelty, popularity, diversity) is the same in every slice.
insert into per_user
with wanted as (
    select slice, user_id, item_id from targets where protocol = $protocol
),
needed as (
    select slice, user_id, count(*) as relevant from wanted group by slice, user_id
),
ideal as (
    select relevant, sum(1 / log2(relevant + 1)) over (order by relevant) as dcg from range(1, 21) as r (relevant)
),
hits as (
    select slice, user_id, rank, row_number() over (partition by slice, user_id order by rank) as hit
    from rankings
    join wanted using (user_id, item_id)
    where protocol = $protocol and model = $model
),
found as (
    select
        slice,
        user_id,
        sum(1 / log2(rank + 1)) filter (rank <= 10) as dcg10,
        sum(1 / log2(rank + 1)) filter (rank <= 20) as dcg20,
        count(*) filter (rank <= 10) as top10,
        count(*) filter (rank <= 20) as top20,
        count(*) filter (rank <= 50) as top50,
        count(*) filter (rank <= 200) as top200,
        sum(hit / rank) filter (rank <= 10) as precision10,
        min(rank) as first_rank
    from hits
    group by slice, user_id
),
shown as (
    select user_id, avg(information) as novelty, avg(popularity) as popularity
    from rankings
    join catalogue using (protocol, item_id)
    where protocol = $protocol and model = $model and rank <= 10
    group by user_id
)
select
    $protocol,
    $model,
    slice,
    user_id,
    coalesce(dcg10, 0) / ideal10.dcg,
    coalesce(dcg20, 0) / ideal20.dcg,
    coalesce(top10, 0) / needed.relevant,
    coalesce(top20, 0) / needed.relevant,
    coalesce(top50, 0) / needed.relevant,
    coalesce(top200, 0) / needed.relevant,
    if(first_rank <= 10, 1 / first_rank, 0),
    coalesce(precision10, 0) / needed.relevant,
    if(first_rank <= 10, 1, 0),
    novelty,
    shown.popularity,
    diversities.value
from needed
join ideal as ideal10 on ideal10.relevant = least(needed.relevant, 10)
join ideal as ideal20 on ideal20.relevant = least(needed.relevant, 20)
left join found using (slice, user_id)
left join shown using (user_id)
left join diversities using (user_id)
