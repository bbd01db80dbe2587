-- The $n items that want help most.
-- inputs: help_wanted. grain: one row an item, by rank.
select * from help_wanted where rank <= $n::bigint order by rank
