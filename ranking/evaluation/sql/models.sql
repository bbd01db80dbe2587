-- Models that were evaluated. Grain and order: protocol, model.
select protocol, model, fit_s from models order by protocol, model
