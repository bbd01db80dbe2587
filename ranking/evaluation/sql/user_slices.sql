-- Slices over users that have a history, of one protocol ($protocol). Grain and order: attribute, slice, numbers by size.
select attribute, slice, count(*) as users
from user_slices
where protocol = $protocol
group by attribute, slice
order by attribute, try_cast(regexp_extract(slice, '=([0-9.]+)', 1) as double), slice
