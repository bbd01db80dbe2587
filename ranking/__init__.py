"""What to show: representation, candidates, rankers, strategy, evaluation and serving."""

import os

# Threads of torch that wait for each other spin for microseconds, then sleep. Spinning on, as they do by default, made
# 60 steps of the alignment take 63 s instead of 0.9 s where other processes use the cores too; sleeping at once makes
# them half as slow again on idle cores. It stands here because OpenMP reads it when torch is loaded.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"} | os.environ
