-- The hybrid against every model, of one protocol ($protocol). Grain: model. Order: the hybrid's smallest lead first.
select * exclude (protocol) from comparisons where protocol = $protocol order by difference, model
