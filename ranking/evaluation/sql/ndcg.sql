-- NDCG@10 of every model and user, of one protocol ($protocol). Grain: slice, model, user. Order: the same.
-- Within a slice every model has the same users, so the values of a slice form a matrix.
select slice, model, user_id, "ndcg@10"
from per_slice
where protocol = $protocol
order by slice, model, user_id
