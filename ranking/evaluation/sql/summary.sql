-- Means over users, of one protocol ($protocol). Grain: slice, model. Order: slice, model.
-- A user who is shown nothing, or no two items with content, has no novelty, popularity or diversity to be averaged.
with means as (
    select slice, model, count(*) as users, avg(columns(* exclude (protocol, model, slice, user_id)))
    from per_slice
    where protocol = $protocol
    group by slice, model
)
select means.*, "coverage@10", "gini@10", fit_s, validation_ndcg
from means
join (from exposure where protocol = $protocol) using (slice, model)
join (from models where protocol = $protocol) using (model)
order by slice, model
