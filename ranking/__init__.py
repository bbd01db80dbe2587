"""What to show: representation, candidates, rankers, strategy, evaluation and serving."""

import os

# Threads of torch that wait for each other must sleep, not spin: where other processes use the cores too, spinning made
# 60 steps of the alignment take 63 s instead of 0.9 s. It stands here because OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
