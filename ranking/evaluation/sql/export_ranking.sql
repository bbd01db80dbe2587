-- One model's recommendations ($protocol, $model) for users with a history. Grain and order: user, rank.
select user_id, item_id, rank, score
from rankings
join (from queries where protocol = $protocol) as asked using (user_id)
where rankings.protocol = $protocol and model = $model and history > 0
order by user_id, rank
