-- Tables of the evaluation, each keyed by protocol, and of the help that items want.
-- Written by warehouse.py, read by everyone.

-- one row: what was evaluated
create table if not exists run (dataset varchar, release varchar, seeds integer[]);

-- one row a protocol; split: JSON; items: size of the catalogue
create table if not exists protocols (protocol varchar, split varchar, items bigint);

-- one row an event; relevant: the user should be recommended the item
create table if not exists splits (
    protocol varchar, user_id varchar, item_id varchar, occurred_at timestamptz, relevant boolean, part varchar
);

-- one row an evaluated user; history: number of training interactions
create table if not exists queries (protocol varchar, user_id varchar, asked_at timestamptz, history bigint);

-- one row a slice and relevant (user, item); slice `all` is the headline
create table if not exists targets (protocol varchar, slice varchar, user_id varchar, item_id varchar);

-- one row a model; fit_s: seconds
create table if not exists models (protocol varchar, model varchar, fit_s double);

-- one row a recommended item, rank from 1; seen items left out
create table if not exists rankings (
    protocol varchar, model varchar, user_id varchar, item_id varchar, rank integer, score float
);

-- one row a model, slice and user who has a relevant item in the slice
create table if not exists per_user (
    protocol varchar, model varchar, slice varchar, user_id varchar,
    "ndcg@10" double, "recall@10" double, "recall@50" double, "recall@200" double, "mrr@10" double, "hit@10" double
);

-- one row a model and slice
create table if not exists coverage (protocol varchar, model varchar, slice varchar, "coverage@10" double);

-- one row an evaluated user with a history; candidates: how many; recall: share of the relevant items among them
create table if not exists candidates (protocol varchar, user_id varchar, candidates bigint, recall double);

-- one row a model and metric of its point predictions: rows, rate (share that is relevant), auc, logloss, ece
create table if not exists point_predictions (protocol varchar, model varchar, metric varchar, value double);

-- one row a bin of like predictions, ascending from 0; predicted, observed: means over its n rows
create table if not exists reliability (
    protocol varchar, model varchar, bin integer, predicted double, observed double, n bigint
);

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
