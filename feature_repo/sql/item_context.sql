-- In which surroundings an item has been chosen so far.
-- inputs: spine(item_id, event_timestamp), events. grain: one row a spine row whose item was chosen before.
-- window: since ever. time rule: occurred_at < event_timestamp. Hours and weekdays are UTC.
-- Counted are cases, not rows with a filter: over a window, DuckDB counts those in quadratic time.
with chosen as (
    select
        item_id,
        occurred_at,
        device,
        place,
        hour(occurred_at) // 6 as daypart,  -- 0 night, 1 morning, 2 afternoon, 3 evening
        isodow(occurred_at) >= 6 as weekend
    from events
    where weight > 0
),
running as (
    select
        item_id,
        occurred_at,
        count(case when daypart = 0 then 1 end) over upto as night,
        count(case when daypart = 1 then 1 end) over upto as morning,
        count(case when daypart = 2 then 1 end) over upto as afternoon,
        count(case when daypart = 3 then 1 end) over upto as evening,
        count(case when weekend then 1 end) over upto as weekend
    from chosen
    window upto as (partition by item_id order by occurred_at range unbounded preceding)
),
running_device as (
    select item_id, device, occurred_at, count(*) over upto as n
    from chosen
    where device is not null
    window upto as (partition by item_id, device order by occurred_at range unbounded preceding)
),
devices as (
    select
        spine.item_id,
        spine.event_timestamp,
        list(known.device order by known.device) as names,
        list(running.n order by known.device) as counts
    from spine
    join (select distinct item_id, device from running_device) as known using (item_id)
    asof join running_device as running
        on running.item_id = spine.item_id
        and running.device = known.device
        and running.occurred_at < spine.event_timestamp
    group by all
),
running_place as (
    select item_id, place, occurred_at, count(*) over upto as n
    from chosen
    where place is not null
    window upto as (partition by item_id, place order by occurred_at range unbounded preceding)
),
places as (
    select
        spine.item_id,
        spine.event_timestamp,
        list(known.place order by known.place) as names,
        list(running.n order by known.place) as counts
    from spine
    join (select distinct item_id, place from running_place) as known using (item_id)
    asof join running_place as running
        on running.item_id = spine.item_id
        and running.place = known.place
        and running.occurred_at < spine.event_timestamp
    group by all
)
select
    spine.item_id,
    spine.event_timestamp,
    running.night as item_night,
    running.morning as item_morning,
    running.afternoon as item_afternoon,
    running.evening as item_evening,
    running.weekend as item_weekend,
    coalesce(devices.names, []) as item_devices,
    coalesce(devices.counts, []) as item_device_counts,
    coalesce(places.names, []) as item_places,
    coalesce(places.counts, []) as item_place_counts
from spine
asof join running
    on running.item_id = spine.item_id and running.occurred_at < spine.event_timestamp
left join devices
    on devices.item_id = spine.item_id and devices.event_timestamp = spine.event_timestamp
left join places
    on places.item_id = spine.item_id and places.event_timestamp = spine.event_timestamp
