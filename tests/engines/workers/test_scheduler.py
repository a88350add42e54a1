"""Which worker gets which requests, and what happens when workers die: with simulated workers and a made-up clock."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import SimulatedWorker, Simulation, requests

from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.engines.workers.scheduler import MAX_DEATHS, MAX_FRUITLESS, MAX_UNIT, WorkScheduler
from ssl4rl_bench.engines.workers.slots import State


def all_once(simulation: Simulation, n: int) -> None:
    assert simulation.outcomes == Counter({str(i): 1 for i in range(n)})


def fresh(n_workers: int, n: int, copies: int = 4, capacity: int = 16) -> WorkScheduler:
    scheduler = WorkScheduler(n_workers)
    scheduler.begin(iter(requests(n, copies)), 0.0)
    assert scheduler.to_start(0.0) == [*range(n_workers)]
    for number in range(n_workers):
        scheduler.ready(number, capacity)
    return scheduler


# --- throughput


@pytest.mark.parametrize(
    "k", [1, 2, 3, 8, *(pytest.param(k, marks=pytest.mark.slow) for k in (4, 16, 32, 64))]
)
def test_k_workers_are_nearly_k_times_as_fast_as_one(k: int) -> None:
    n = 200 * k
    one, many = (Simulation(lambda _: SimulatedWorker(), workers) for workers in (1, k))
    one.run(requests(n))
    many.run(requests(n))
    all_once(many, n)
    assert one.seconds / many.seconds >= 0.9 * k


@pytest.mark.parametrize("k", [2, 8, pytest.param(64, marks=pytest.mark.slow)])
def test_a_worker_that_is_five_times_slower_costs_only_its_share(k: int) -> None:
    slow_latency = 5.0
    simulation = Simulation(lambda number: SimulatedWorker(5.0 if number == 0 else 1.0), k)
    n = 400 * k
    simulation.run(requests(n))
    all_once(simulation, n)
    best = n / (16 * (k - 1) / 1.0 + 16 / slow_latency)
    # What it has begun last takes as long as it takes; nothing else waits for it.
    assert simulation.seconds <= 1.1 * best + slow_latency
    assert 0.5 <= simulation.by[0] * 5 / (simulation.by[1] or 1) <= 1.5


def test_near_the_end_a_slow_worker_gets_nothing_that_another_would_finish_first() -> None:
    simulation = Simulation(lambda number: SimulatedWorker(20.0 if number == 0 else 1.0, 4), 2)
    n = 600
    simulation.run(requests(n))
    all_once(simulation, n)
    assert simulation.seconds <= 1.15 * n / (4 + 4 / 20) + 20


def test_a_worker_has_what_its_engine_takes_and_some_more_but_never_all() -> None:
    simulation = Simulation(lambda _: SimulatedWorker(concurrency=16), 4)
    simulation.run(requests(2000))
    assert all(16 < load <= 16 * 5 + MAX_UNIT for load in simulation.most_load.values())


def test_few_requests_are_spread_over_all_workers() -> None:
    scheduler = fresh(4, 16)
    given_units = scheduler.assign(0.0)
    assert {
        number: sum(len(u.requests) for u in units) for number, units in given_units.items()
    } == dict.fromkeys(range(4), 4)


def test_the_worker_that_starts_first_leaves_their_share_to_the_others() -> None:
    scheduler = WorkScheduler(4)
    scheduler.begin(iter(requests(64)), 0.0)
    scheduler.to_start(0.0)
    scheduler.ready(2, 1000)
    scheduler.assign(0.0)
    assert scheduler.slots[2].load == 16
    scheduler.died(3, 1.0, "killed", hopeless=True)
    scheduler.ready(0, 1000)
    scheduler.assign(2.0)
    assert [slot.load for slot in scheduler.slots] == [24, 0, 24, 0], "a third each, and a unit is not split"
    scheduler.ready(1, 1000)
    scheduler.assign(3.0)
    assert [slot.load for slot in scheduler.slots] == [24, 16, 24, 0]


def test_an_engine_that_answers_in_batches_is_not_taken_for_fast_because_of_two_reports_in_a_row() -> None:
    scheduler = fresh(2, 10_000, capacity=128)
    scheduler.assign(0.0)
    (sent, _) = (list(slot.in_flight) for slot in scheduler.slots)
    reply = Completion("x", "stop", latency_s=30.0)
    for when, units in ((30.0, sent[:2]), (30.01, sent[2:16])):
        scheduler.answer(0, when, [(unit, i, reply) for unit in units for i in range(4)], 128)
    assert scheduler.slots[0].rate(30.02) is None
    assert scheduler.slots[0].rate(90.0) == pytest.approx(56 / 60)


def test_the_rate_of_the_last_task_counts_until_a_new_one_is_known() -> None:
    simulation = Simulation(lambda number: SimulatedWorker(5.0 if number == 0 else 1.0), 2)
    simulation.run(requests(800))
    before = [slot.rate(simulation.now) for slot in simulation.scheduler.slots]
    simulation.by.clear()
    simulation.now += 1000.0
    simulation.run(requests(40))
    assert before[0] is not None and before[1] is not None and before[1] > 3 * before[0]
    assert simulation.by[0] <= 12, "it gets its share of a short task, from the start"


def test_without_a_length_the_workers_are_kept_full() -> None:
    scheduler = WorkScheduler(2)
    scheduler.begin((request for request in requests(1000)), 0.0)
    scheduler.to_start(0.0)
    for number in range(2):
        scheduler.ready(number, 16)
    scheduler.assign(0.0)
    assert [slot.load for slot in scheduler.slots] == [24, 24]


# --- units


@pytest.mark.slow
@given(st.lists(st.integers(1, 20), min_size=1, max_size=20))
def test_units_are_neighbours_that_share_an_image(sizes: list[int]) -> None:
    made = [r for i, size in enumerate(sizes) for r in requests(size * (i + 1), size)[-size:]]
    scheduler = WorkScheduler(1)
    scheduler.begin(iter(made), 0.0)
    scheduler.to_start(0.0)
    scheduler.ready(0, 10_000)
    units = scheduler.assign(0.0)[0]
    assert [r for unit in units for r in unit.requests] == made
    for unit in units:
        assert len(unit.requests) <= MAX_UNIT
        assert len({r.sample.images[0].sha256 for r in unit.requests}) == 1


def test_requests_are_pulled_only_when_they_are_sent() -> None:
    pulled = []

    def source() -> object:
        for request in requests(1000):
            pulled.append(request)
            yield request

    scheduler = WorkScheduler(1)
    scheduler.begin(source(), 0.0)  # type: ignore[arg-type]  # an iterator
    assert len(pulled) == 1
    scheduler.to_start(0.0)
    scheduler.ready(0, 16)
    scheduler.assign(0.0)
    assert len(pulled) <= 24 + MAX_UNIT + 1


# --- deaths


FAULTS = st.lists(st.tuples(st.floats(0, 60), st.integers(0, 4)), max_size=40)


@given(FAULTS, st.integers(1, 5), st.integers(0, 300), st.integers(1, 9), st.floats(0, 20))
def test_wherever_workers_die_each_request_gets_one_completion(
    faults: list[tuple[float, int]], k: int, n: int, copies: int, start_s: float
) -> None:
    simulation = Simulation(
        lambda number: SimulatedWorker(0.5 + number, 8, start_s), k, faults=[f for f in faults if f[1] < k]
    )
    simulation.run(requests(n, copies))
    if simulation.scheduler.lost:
        assert all(slot.n_deaths >= MAX_FRUITLESS for slot in simulation.scheduler.slots)
        assert max(simulation.outcomes.values(), default=1) == 1
    else:
        all_once(simulation, n)


@given(st.sets(st.integers(0, 99), max_size=3), st.integers(1, 6))
def test_a_request_that_kills_workers_becomes_an_error_and_no_other_does(poison: set[int], k: int) -> None:
    ids = frozenset(map(str, poison))
    simulation = Simulation(lambda _: SimulatedWorker(), k, poison=ids)
    # Answers between its deaths, so that no worker is given up.
    simulation.run(requests(100))
    if not simulation.scheduler.lost:
        all_once(simulation, 100)
        assert simulation.errors.keys() == ids
    else:
        assert k == 1 or len(poison) > 1


def test_one_request_that_kills_workers_costs_three_of_them() -> None:
    simulation = Simulation(lambda _: SimulatedWorker(), 4, poison=frozenset({"77"}))
    simulation.run(requests(400))
    all_once(simulation, 400)
    assert sum(slot.n_deaths for slot in simulation.scheduler.slots) == MAX_DEATHS
    assert simulation.errors.keys() == {"77"}
    assert "3 workers died while they had this request, at last: killed" in simulation.errors["77"]


def test_a_worker_killed_again_and_again_loses_nothing() -> None:
    faults = [(10.0 * i, 0) for i in range(1, 13)]
    simulation = Simulation(lambda _: SimulatedWorker(start_s=2.0), 4, faults=faults)
    simulation.run(requests(6000))
    all_once(simulation, 6000)
    assert not simulation.errors
    assert simulation.scheduler.slots[0].n_deaths >= 9


def test_a_worker_that_cannot_start_is_given_up_at_once_and_the_others_answer() -> None:
    simulation = Simulation(lambda _: SimulatedWorker(), 3, hopeless=frozenset({1}))
    simulation.run(requests(300))
    all_once(simulation, 300)
    assert [slot.state for slot in simulation.scheduler.slots] == [State.READY, State.GIVEN_UP, State.READY]
    assert simulation.n_starts == 3


def test_without_any_worker_the_run_is_lost_and_the_first_reason_is_kept() -> None:
    simulation = Simulation(lambda _: SimulatedWorker(), 2, hopeless=frozenset({0, 1}))
    simulation.run(requests(10))
    assert simulation.scheduler.lost and not simulation.scheduler.finished
    assert simulation.scheduler.first_reason == "killed"


def test_a_worker_that_dies_three_times_without_an_answer_is_given_up() -> None:
    scheduler = fresh(2, 100)
    for death in range(1, MAX_FRUITLESS + 1):
        assert scheduler.slots[0].state is State.READY
        scheduler.died(0, 1.0 * death, "killed")
        if death < MAX_FRUITLESS:
            assert scheduler.to_start(1.0 * death) == [0]
            scheduler.ready(0, 16)
    assert scheduler.slots[0].state is State.GIVEN_UP
    assert scheduler.to_start(10.0) == [] and not scheduler.lost


def test_a_death_after_an_answer_starts_the_count_again() -> None:
    scheduler = fresh(1, 1000)
    for when in range(10):
        (units,) = scheduler.assign(float(when)).values()
        scheduler.answer(0, when + 0.5, [(units[0].number, 0, Completion("x", "stop"))], 16)
        scheduler.died(0, when + 0.6, "killed")
        assert scheduler.to_start(when + 0.7) == [0]
        scheduler.ready(0, 16)


@pytest.mark.slow
def test_near_the_end_a_dead_worker_is_not_replaced() -> None:
    start_s = 60.0
    simulation = Simulation(lambda _: SimulatedWorker(start_s=start_s), 2, faults=[(75.0, 0)])
    simulation.run(requests(16 * 20 * 2))
    all_once(simulation, 16 * 20 * 2)
    assert simulation.n_starts == 2 and simulation.seconds < start_s + 40
    simulation.run(requests(16 * 200 * 2))
    assert simulation.n_starts == 3, "the next task has work enough"
    long = Simulation(lambda _: SimulatedWorker(start_s=start_s), 2, faults=[(75.0, 0)])
    long.run(requests(16 * 400))
    assert long.n_starts == 3 and long.by[0] > 16 * 50


def test_a_worker_whose_process_came_late_still_gets_its_part_of_short_tasks() -> None:
    """Its model loads within seconds; the start of its process took longer than a task lasts."""
    scheduler = WorkScheduler(2)
    scheduler.begin(iter(requests(200)), 0.0)
    scheduler.to_start(0.0)
    scheduler.ready(0, 16)
    units = scheduler.assign(60.0)[0]
    scheduler.answer(
        0, 61.0, [(units[0].number, i, Completion("x", "stop", latency_s=0.1)) for i in range(4)], 16
    )
    scheduler.answer(
        0, 62.0, [(units[1].number, i, Completion("x", "stop", latency_s=0.1)) for i in range(4)], 16
    )
    scheduler.ready(1, 16)
    assert len(scheduler.assign(62.0)[1]) == 1


@pytest.mark.parametrize(("n_expected", "gets"), [(0, 0), (10_000, 1)])
def test_a_model_is_loaded_if_it_pays_over_all_tasks(n_expected: int, gets: int) -> None:
    scheduler = WorkScheduler(2)
    scheduler.begin(iter(requests(40)), 0.0)
    scheduler.n_expected = n_expected
    scheduler.to_start(0.0)
    scheduler.ready(0, 16)
    units = scheduler.assign(0.0)[0]
    for when, unit in ((60.0, units[0]), (61.0, units[1])):
        scheduler.answer(
            0, when, [(unit.number, i, Completion("x", "stop", latency_s=0.1)) for i in range(4)], 16
        )
    scheduler.ready(1, 16)
    assert len(scheduler.assign(61.0).get(1, [])) == gets, "loading takes 60 s, and what is left 8 s"
    assert scheduler.n_expected == max(0, n_expected - 8)


def test_a_replacement_that_still_loads_its_model_holds_no_more_than_one_unit() -> None:
    simulation = Simulation(lambda _: SimulatedWorker(start_s=30.0), 2, faults=[(40.0, 0)])
    simulation.scheduler.begin(iter(requests(4000)), 0.0)
    simulation.run(requests(4000))
    all_once(simulation, 4000)
    scheduler = fresh(2, 1000)
    (first, second) = (units[0].number for units in scheduler.assign(0.0).values())
    for number, unit in ((0, first), (1, second)):
        scheduler.answer(number, 5.0, [(unit, 0, Completion("x", "stop"))], 16)
    scheduler.died(0, 6.0, "killed")
    scheduler.to_start(6.0)
    scheduler.ready(0, 16)
    assert len(scheduler.assign(6.0)[0]) == 1


# --- ends


def test_a_drain_sends_nothing_more_and_ends_when_all_in_flight_is_answered_or_dropped() -> None:
    scheduler = fresh(2, 1000)
    units = scheduler.assign(0.0)
    n = scheduler.drain()
    assert n == sum(len(unit.requests) for some in units.values() for unit in some) == scheduler.n_in_flight
    assert not scheduler.assign(1.0) and not scheduler.to_start(1.0) and not scheduler.finished
    places = [
        (unit.number, i, Completion("x", "stop")) for unit in units[0] for i in range(len(unit.requests))
    ]
    assert len(scheduler.answer(0, 1.0, places, 16)) == len(places)
    assert not scheduler.finished
    scheduler.dropped(1)
    assert scheduler.finished


def test_a_worker_that_dies_in_a_drain_is_not_replaced_and_its_requests_are_left() -> None:
    scheduler = fresh(1, 100)
    scheduler.assign(0.0)
    scheduler.drain()
    assert scheduler.died(0, 1.0, "killed") == [] and scheduler.finished


def test_answers_of_an_earlier_run_are_ignored() -> None:
    scheduler = fresh(1, 100)
    (units,) = scheduler.assign(0.0).values()
    scheduler.begin(iter(requests(8)), 1.0)
    assert scheduler.answer(0, 1.0, [(units[0].number, 0, Completion("x", "stop"))], 16) == []
    assert sum(len(unit.requests) for unit in scheduler.assign(1.0)[0]) == 8


def test_a_run_of_nothing_is_finished_and_starts_nothing() -> None:
    scheduler = WorkScheduler(3)
    scheduler.begin(iter(()), 0.0)
    assert scheduler.finished and scheduler.to_start(0.0) == []
