-- Recall of the candidates (generator `union`) and of each generator by number of places, of one protocol ($protocol).
-- Grain and order: generator, k.
select generator, k, recall from candidate_budgets where protocol = $protocol order by generator, k
