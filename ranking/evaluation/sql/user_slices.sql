-- Slices over users that have a history, of one protocol ($protocol). Grain and order: attribute, slice.
select attribute, slice, count(*) as users
from user_slices
where protocol = $protocol
group by attribute, slice
order by attribute, slice
