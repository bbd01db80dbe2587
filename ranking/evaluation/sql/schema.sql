-- Tables of the evaluation, each keyed by protocol, and of the help that items want.
-- Written by warehouse.py, read by everyone; docs/queries.md asks them.

-- one row: what was evaluated; seeds: of the hybrid's ranker, each measured
create table if not exists run (dataset varchar, release varchar, seeds integer[]);

-- one row a protocol; split: JSON; items: size of the catalogue
create table if not exists protocols (protocol varchar, split varchar, items bigint);

-- one row an event; relevant: the user should be recommended the item
create table if not exists splits (
    protocol varchar, user_id varchar, item_id varchar, occurred_at timestamptz, relevant boolean, part varchar
);

-- one row an evaluated user; history: number of training interactions
create table if not exists queries (protocol varchar, user_id varchar, asked_at timestamptz, history bigint);

-- one row an item of the catalogue; events: number of training interactions; information, popularity: as metrics.py
-- defines self_information and popularity_percentile
create table if not exists catalogue (
    protocol varchar, item_id varchar, events bigint, information double, popularity double
);

-- one row a slice over items and relevant (user, item); slice `all` is the headline, `new_users` stands beside it
create table if not exists targets (protocol varchar, slice varchar, user_id varchar, item_id varchar);

-- one row a slice over users and user with a history; attribute: what the slice is a value of, as in gender, gender=F
create table if not exists user_slices (protocol varchar, user_id varchar, attribute varchar, slice varchar);

-- one row a model; fit_s: seconds; validation_ndcg: its NDCG@10 where its configuration was chosen, null without a choice
create table if not exists models (protocol varchar, model varchar, fit_s double, validation_ndcg double);

-- one row a recommended item, rank from 1; seen items left out
create table if not exists rankings (
    protocol varchar, model varchar, user_id varchar, item_id varchar, rank integer, score float
);

-- one row a model, slice over items and user who has a relevant item in the slice; metrics.py defines the metrics
create table if not exists per_user (
    protocol varchar, model varchar, slice varchar, user_id varchar,
    "ndcg@10" double, "ndcg@20" double, "recall@10" double, "recall@20" double, "recall@50" double, "recall@200" double,
    "mrr@10" double, "map@10" double, "hit@10" double, "novelty@10" double, "popularity@10" double, "diversity@10" double
);

-- the same for every slice, over items and over users alike; a slice over users looks at all relevant items
create or replace view per_slice as
select * from per_user
union all by name
select per_user.* exclude (slice), user_slices.slice
from per_user
join user_slices using (protocol, user_id)
where per_user.slice = 'all';

-- one row a slice, over items or users, and user in it
create or replace view slice_users as
select distinct protocol, slice, user_id from targets
union all by name
select protocol, slice, user_id from user_slices;

-- one row a model and slice: what all its users are shown together
create table if not exists exposure (
    protocol varchar, model varchar, slice varchar, "coverage@10" double, "gini@10" double
);

-- one row a model that the hybrid is compared with, over the same users; significance.py says how
create table if not exists comparisons (
    protocol varchar, model varchar, difference double, difference_ci95 double[], relative double, ci95 double[],
    better bigint, worse bigint, p double, p_holm double
);

-- one row an evaluated user with a history; candidates: how many; recall: share of the relevant items among them
create table if not exists candidates (protocol varchar, user_id varchar, candidates bigint, recall double);

-- one row a model and metric of its point predictions: rows, rate (share that is relevant), auc, logloss, ece; of ratings
-- rows, users, rmse, mae, and difference of rmse to that of biases alone, with the ends of its interval, _low and _high
create table if not exists point_predictions (protocol varchar, model varchar, metric varchar, value double);

-- one row a bin of like predictions, ascending from 0; predicted, observed: means over its n rows
create table if not exists reliability (
    protocol varchar, model varchar, bin integer, predicted double, observed double, n bigint
);

-- one row a generator; recall: of its own k best; marginal: the union's recall minus that without it; exclusive: relevant
-- candidates that no other generator has among its k best; first: share of the relevant candidates it places highest
create table if not exists candidate_generators (
    protocol varchar, generator varchar, k integer, recall double, marginal double, exclusive bigint, first double
);

-- one row a generator, or the `union`, and number of places
create table if not exists candidate_budgets (protocol varchar, generator varchar, k integer, recall double);

-- one row an item, where help is wanted most first: columns as in ranking/representation/help_wanted.py
create table if not exists help_wanted (
    rank integer, item_id varchar, title varchar, missing varchar[], unclear varchar[],
    uncertainty double, gain double, demand double, score double, reason varchar
);

-- one row a configuration that was tried; study: PROTOCOL/MODEL/data, number: within it; value: mean NDCG@10 on what the
-- study measures by; params: JSON, the whole configuration; state: complete, unfit (nothing can be fitted by it), pruned
-- (no time was left), fail (interrupted or killed), running
create table if not exists trials (
    study varchar, protocol varchar, model varchar, number integer, value double, fit_s double, params json,
    state varchar, started_at timestamptz
);

-- one row a protocol and model: the configuration that is used; number: its trial's; reference: the best value without
-- the search; trials: among how many it was chosen; searched: found beyond what every home tries
create table if not exists winners (
    protocol varchar, model varchar, study varchar, number integer, value double, reference double, trials integer,
    searched boolean, params json
);
