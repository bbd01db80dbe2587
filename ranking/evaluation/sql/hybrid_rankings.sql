-- The hybrid's recommendations under every protocol, and whether the user had met the item in training.
-- grain: protocol, user, rank.
select rankings.*, train.user_id is not null as seen
from rankings
left join (select distinct protocol, user_id, item_id from splits where part = 'train') as train
    using (protocol, user_id, item_id)
where model = 'hybrid'
