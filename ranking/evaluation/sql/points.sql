-- Point predictions: the metrics of each model side by side. Grain and order: protocol, model.
pivot point_predictions
on metric in ('rows', 'rate', 'auc', 'logloss', 'ece', 'accuracy')
using first(value)
group by protocol, model
order by protocol, model
