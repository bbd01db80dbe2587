-- What was predicted and what came of it. Grain and order: protocol, model, bin (ascending prediction).
select protocol, model, bin, predicted, observed, n from reliability order by protocol, model, bin
