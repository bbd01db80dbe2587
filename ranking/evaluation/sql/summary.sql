-- Means over users, of one protocol ($protocol). Grain: slice, model. Order: slice, model.
with means as (
    select
        slice,
        model,
        count(*) as users,
        avg("ndcg@10") as "ndcg@10",
        avg("recall@10") as "recall@10",
        avg("recall@50") as "recall@50",
        avg("recall@200") as "recall@200",
        avg("mrr@10") as "mrr@10",
        avg("hit@10") as "hit@10"
    from per_user
    where protocol = $protocol
    group by slice, model
)
select means.*, "coverage@10", fit_s
from means
join (from coverage where protocol = $protocol) using (slice, model)
join (from models where protocol = $protocol) using (model)
order by slice, model
