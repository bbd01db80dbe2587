-- Point predictions of chances: the metrics of each model side by side. Grain and order: protocol, model.
-- Those of ratings, which have no AUC, are in ratings.sql.
pivot (
    from point_predictions
    where (protocol, model) in (select (protocol, model) from point_predictions where metric = 'auc')
)
on metric in ('rows', 'rate', 'auc', 'logloss', 'ece', 'accuracy')
using first(value)
group by protocol, model
order by protocol, model
