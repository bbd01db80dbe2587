-- One protocol's events ($protocol): all training events, and the held-out ones of users with a history.
-- Grain: event. Order: part, time, user, item.
select user_id, item_id, occurred_at, relevant, part
from splits
left join (from queries where protocol = $protocol) as asked using (user_id)
where splits.protocol = $protocol and (part = 'train' or history > 0)
order by part desc, occurred_at, user_id, item_id
