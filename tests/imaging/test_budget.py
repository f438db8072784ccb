"""How many bytes of photos are decoded at a time."""

import threading

import pytest

from olpipe.imaging.budget import ByteBudget


class Crowd:
    """Threads that hold a part of a budget each until they are told to let go."""

    def __init__(self, budget):
        self.budget = budget
        self.holding, self.most = 0, 0
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.order = []

    def start(self, *sizes):
        self.threads = [threading.Thread(target=self.hold, args=(size,), daemon=True) for size in sizes]
        for thread in self.threads:
            thread.start()

    def hold(self, size):
        with self.budget.hold(size):
            with self.lock:
                self.order.append(size)
                self.holding += size
                self.most = max(self.most, self.holding)
            self.entered.release()
            assert self.leave.acquire(timeout=60)
            with self.lock:
                self.holding -= size

    def end(self):
        for _ in self.threads:
            self.leave.release()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def test_no_more_is_held_at_a_time_than_the_budget_has():
    crowd = Crowd(ByteBudget(10))
    crowd.start(*[4] * 8)
    for _ in range(2):
        assert crowd.entered.acquire(timeout=60)
    crowd.end()
    assert len(crowd.order) == 8
    assert crowd.most == 8


def test_what_is_larger_than_the_budget_is_held_alone():
    crowd = Crowd(ByteBudget(10))
    crowd.start(25)
    assert crowd.entered.acquire(timeout=60)
    later = Crowd(crowd.budget)
    later.start(1)
    assert not later.entered.acquire(blocking=False)
    crowd.end()
    assert later.entered.acquire(timeout=60)
    later.end()


def test_an_error_gives_the_bytes_back():
    budget = ByteBudget(10)
    with pytest.raises(ValueError, match="damaged"), budget.hold(10):
        raise ValueError("damaged")
    with budget.hold(10):
        pass
