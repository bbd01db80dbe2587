-- What an item is, known from the moment it exists.
-- inputs: items. grain: one row an item. An item of unknown (or earlier) date stands at 1970.
-- A video is seen and heard where there is no picture and no sound.
select
    item_id,
    greatest(coalesce(created_at, make_timestamptz(0)), make_timestamptz(0)) as event_timestamp,
    categories,
    epoch_us(created_at) as created_at,
    coalesce(title, description) is not null as has_text,
    coalesce(image, video) is not null as has_image,
    coalesce(audio, video) is not null as has_audio
from items
