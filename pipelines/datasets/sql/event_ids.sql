-- Ids for events that came without: an MD5 of what each says.
-- inputs: said(user_id, item_id, kind, micros, bits, row): row counts the events in their order, bits may be null
-- grain:  one row an event, in the order of row
with numbered as (
    select
        *,
        row_number() over (partition by user_id, item_id, kind, micros, bits order by row) as number_among_equals
    from said
)

-- The lengths keep ('a', 'bc') and ('ab', 'c') apart.
select
    md5(
        concat_ws(
            ':',
            strlen(user_id), user_id,
            strlen(item_id), item_id,
            strlen(kind), kind,
            micros, coalesce(bits::varchar, 'none'), number_among_equals
        )
    ) as event_id
from numbered
order by row
