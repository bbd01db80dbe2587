-- What each generator gives to the candidates, of one protocol ($protocol). Grain: generator. Order: most first.
select generator, k, recall, marginal, exclusive, first
from candidate_generators
where protocol = $protocol
order by marginal desc, generator
