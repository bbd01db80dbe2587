-- Every moment at which a feature of a view changes.
-- inputs: events, $key (column of the entity), $delays (after how long an event enters and leaves), $exposures, $until.
-- grain: one row an entity and moment. time rule: none after $until (default 1 us after the last event).
with horizon as (
    select coalesce($until, max(occurred_at) + interval 1 microsecond) as until from events
),
changes as (
    select
        if($key = 'user_id', user_id, item_id) as entity,
        occurred_at + unnest($delays) as event_timestamp
    from events
    where weight > 0 or $exposures
)
select distinct entity, event_timestamp
from changes, horizon
where event_timestamp <= until
