"""Items worked on at once: order of results, errors and records; stopping; bounds."""

from __future__ import annotations

import logging
import math
import threading
import time

import pytest

from cellpose._machine.pipeline import Budget, Stopped, in_order, worker_count

logger = logging.getLogger("cellpose.tests.pipeline")


def slow_first(item, tell):
    """The first items take longest, so that they are done last."""
    time.sleep(0.02 * (3 - item % 4))
    logger.info("item %d", item)
    return item * item


def test_results_and_records_are_in_order(caplog):
    caplog.set_level(logging.INFO, "cellpose")
    assert list(in_order(slow_first, range(10), 3)) == [n * n for n in range(10)]
    assert [record.getMessage() for record in caplog.records] == [f"item {n}" for n in range(10)]
    logger.info("after")  # what is logged outside is not held back
    assert caplog.records[-1].getMessage() == "after"


def test_few_items_are_begun_before_they_are_taken():
    begun = []

    def items():
        for n in range(100):
            begun.append(n)
            yield n

    results = in_order(slow_first, items(), 2)
    assert next(results) == 0
    time.sleep(0.2)
    assert len(begun) <= 5
    results.close()


def test_an_error_comes_in_its_turn_and_ends_the_rest(caplog):
    caplog.set_level(logging.INFO, "cellpose")

    def call(item, tell):
        if item == 2:
            logger.info("wrong")
            message = "two"
            raise ValueError(message)
        return slow_first(item, tell)

    taken = []
    with pytest.raises(ValueError, match="two"):
        taken.extend(in_order(call, range(50), 3))
    assert taken == [0, 1]
    assert caplog.records[-1].getMessage() == "wrong"
    assert not [t for t in threading.enumerate() if t.name.startswith("cellpose-images")]


def test_threads_are_told_to_stop():
    stopped = threading.Event()

    def call(item, tell):
        try:
            for _ in range(2000):
                time.sleep(0.005)
                tell(0.5)
        except Stopped:
            stopped.set()
            raise

    def interrupt(number):
        raise KeyboardInterrupt

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        list(in_order(call, range(3), 2, interrupt))
    assert stopped.wait(5)
    assert time.perf_counter() - began < 5  # of the 20 s that two items take


def test_progress_rises_to_the_number_of_items():
    seen = []

    def call(item, tell):
        tell(0.5)
        return threading.get_ident()

    idents = set(in_order(call, range(6), 3, lambda n: seen.append((n, threading.get_ident()))))
    numbers = [n for n, _ in seen]
    assert numbers == sorted(numbers)
    assert numbers[-1] <= 6
    assert numbers[-1] >= 5
    assert {ident for _, ident in seen} == {threading.get_ident()}  # windows may be touched by their own thread only
    assert threading.get_ident() not in idents


def test_room_is_bounded_and_large_things_are_alone():
    budget, lock = Budget(10), threading.Lock()
    used, most = [0.0], []

    def call(size, tell):
        with budget.of(size):
            with lock:
                used[0] += size
                most.append(used[0])
            time.sleep(0.005)
            with lock:
                used[0] = max(0.0, used[0] - size) if size < math.inf else 0.0

    list(in_order(call, [4, 4, 4, math.inf, 4, 6, 25, 2] * 3, 4))
    assert len(most) == 24
    assert all(n <= 10 or n in (math.inf, 25) for n in most)


def test_one_thread_means_one_item(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert worker_count() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert worker_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert worker_count() == 8
    monkeypatch.setenv("CELLPOSE_IMAGES_AT_ONCE", "5")
    assert worker_count() == 5
