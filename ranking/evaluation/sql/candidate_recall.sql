-- What the rankers could have found, of one protocol ($protocol); reads `found` (user_id, item_id), its candidates.
-- Grain: user with a history.
insert into candidates
with wanted as (
    select user_id, item_id from targets where protocol = $protocol and slice = 'all'
),
sizes as (
    select user_id, count(*) as candidates from found group by user_id
),
shares as (
    select user_id, avg(if(found.item_id is null, 0, 1)) as recall
    from wanted
    left join found using (user_id, item_id)
    group by user_id
)
select $protocol, user_id, coalesce(candidates, 0), recall from shares left join sizes using (user_id)
