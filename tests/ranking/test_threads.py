"""Two pieces of work at one time: results in order, and the linear algebra as it was afterwards."""

import time

from threadpoolctl import threadpool_info

from ranking.candidates.threads import one_blas_thread, two_at_once


def blas_threads() -> list[int]:
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_results_come_in_order_and_the_limit_ends_with_them():
    before = blas_threads()

    def work(number: int) -> tuple[int, list[int]]:
        with one_blas_thread():  # as generators do
            time.sleep(0.02 * (3 - number))
            return number, blas_threads()

    assert list(two_at_once(work, range(4))) == [(number, [1] * len(before)) for number in range(4)]
    assert blas_threads() == before
