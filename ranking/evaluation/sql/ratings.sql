-- Point predictions of ratings: the metrics of each model side by side. Grain: protocol, model. Order: protocol, rmse
-- from the largest on, model.
pivot (
    from point_predictions
    where (protocol, model) in (select (protocol, model) from point_predictions where metric = 'rmse')
)
on metric in ('rows', 'users', 'rmse', 'mae', 'difference', 'difference_low', 'difference_high')
using first(value)
group by protocol, model
order by protocol, rmse desc, model
