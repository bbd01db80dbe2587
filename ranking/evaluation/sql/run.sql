-- What is evaluated. Grain: one row, or none before the first run.
select dataset, release, seeds from run
