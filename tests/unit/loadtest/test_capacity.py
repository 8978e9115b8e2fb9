"""The simulation of capacity against queueing theory, and its rules against what they promise."""

import math
import random
from dataclasses import replace
from functools import partial

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.jobs import Priority
from cardex.worker.consumer import SHARES
from loadtest.capacity import check, costs, growth, pictures
from loadtest.capacity.arrivals import Demand, Load, Night, share_of_day
from loadtest.capacity.cores import NICE_0, NICE_10, Cores
from loadtest.capacity.costs import Cost, Costs, Delay, through
from loadtest.capacity.plan import Aim, Planner, Prices, plan_of
from loadtest.capacity.pods import pod, serving
from loadtest.capacity.scaling import SYNC_S, Autoscaler, Rule, Trigger, night_of, rule
from loadtest.capacity.simulation import SATURATED, Fleet, Simulation, Traffic, simulate
from loadtest.capacity.stations import Instances, Job, JobQueue, Model, Station

SAMPLES = 10_000
WARM = 1_000
MS = 1e-3

PLAIN = Costs(
    client=Cost(0.0, 0.3 * MS),
    gateway=Cost(0.4 * MS, 0.6 * MS),
    state=Cost(0.0, 0.4 * MS),
    cache=Cost(0.0, 0.1 * MS),
    prepare=Cost(1.0 * MS, 2.0 * MS),
    write=Cost(1.0 * MS, 2.0 * MS),
    encoder=Cost(4.0 * MS, 7.0 * MS),
)


def sojourns(serve, rate, service, env):
    """Send Poisson arrivals through `serve`, and return the mean time of each in the system."""
    chance, times = random.Random(5), []

    def one():
        begun = env.now
        yield from serve(service(chance))
        times.append(env.now - begun)

    def arrivals():
        for _ in range(SAMPLES):
            yield env.timeout(chance.expovariate(rate))
            env.process(one())

    env.process(arrivals())
    env.run()
    return sum(times[WARM:]) / len(times[WARM:])


def exponential(chance):
    return chance.expovariate(1.0)


def constant(_):
    return 1.0


@pytest.mark.parametrize("busy", [0.3, 0.6])
def test_one_thread_is_an_mm1_queue(busy):
    env = simpy.Environment()
    station = Station(env, Cores(env, 1), "one")
    assert sojourns(station.run, busy, exponential, env) == pytest.approx(1 / (1 - busy), rel=0.08)


@pytest.mark.parametrize("busy", [0.3, 0.7])
def test_one_thread_with_equal_work_is_an_md1_queue(busy):
    env = simpy.Environment()
    station = Station(env, Cores(env, 1), "one")
    expected = 1 + busy / (2 * (1 - busy))  # Pollaczek and Khinchine
    assert sojourns(station.run, busy, constant, env) == pytest.approx(expected, rel=0.06)


def erlang_c(servers, offered):
    """Return the probability of waiting in an M/M/c queue (Erlang 1917)."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)


@pytest.mark.parametrize(("servers", "busy"), [(2, 0.6), (4, 0.7)])
def test_several_threads_are_an_mmc_queue(servers, busy):
    env = simpy.Environment()
    station = Station(env, Cores(env, servers), "some", threads=servers)
    offered = servers * busy
    expected = 1 + erlang_c(servers, offered) / (servers - offered)
    assert sojourns(station.run, offered, exponential, env) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("service", [exponential, constant])
def test_a_shared_core_does_not_mind_how_work_is_spread(service):
    """The mean time under processor sharing depends on the mean work alone (Kleinrock 1976)."""
    env = simpy.Environment()
    cores = Cores(env, 1)

    def serve(core_s):
        yield cores.compute(core_s)

    assert sojourns(serve, 0.6, service, env) == pytest.approx(1 / (1 - 0.6), rel=0.1)


def ends(count, tasks):
    """Return when each of some computations, given as (core-s, weight, threads), ends."""
    env = simpy.Environment()
    cores, found = Cores(env, count), {}

    def ended(number, _):
        found[number] = env.now

    for number, (core_s, weight, threads) in enumerate(tasks):
        event = cores.compute(core_s, str(number), weight, threads)
        event.callbacks.append(partial(ended, number))
    env.run()
    assert sum(cores.used.values()) == pytest.approx(sum(task[0] for task in tasks))
    return [found[number] for number in range(len(tasks))]


def test_a_core_is_shared_by_weight():
    first, second = ends(1, [(1.0, NICE_0, 1), (1.0, NICE_10, 1)])
    assert first == pytest.approx((NICE_0 + NICE_10) / NICE_0)
    assert second == pytest.approx(2.0)


def test_nobody_has_more_cores_than_threads_and_the_rest_is_shared():
    # The heavy one has one core of two; the light ones share the other, then have one each.
    assert ends(2, [(1.0, NICE_0, 1), (1.0, NICE_10, 1), (1.0, NICE_10, 1)]) == pytest.approx(
        [1.0, 1.5, 1.5]
    )
    assert ends(4, [(4.0, NICE_0, 2), (1.0, NICE_10, 1)]) == pytest.approx([2.0, 1.0])


def test_littles_law_holds_on_the_whole_way():
    simulation = Simulation(Fleet(), PLAIN, Traffic(20.0, 0.0, 150.0))
    present = []

    def look():
        while True:
            present.append(simulation._outstanding)
            yield simulation.env.timeout(0.0317)  # of no period of anything else

    simulation.env.process(look())
    outcome = simulation.run()
    seconds = sum(outcome.stat_s) / len(outcome.stat_s)
    rate = len(outcome.stat_s) / outcome.seconds
    assert sum(present) / len(present) == pytest.approx(rate * seconds, rel=0.05)


def test_a_machine_does_as_much_as_its_cores():
    outcome = simulate(
        Fleet(routine=2, machine=2), PLAIN, Traffic(0.0, SATURATED, 0.0, records=3_000, drain=True)
    )
    each = sum(outcome.core_s.values()) / 3_000
    assert outcome.routine / outcome.finished == pytest.approx(2 / each, rel=0.03)
    assert outcome.routine / outcome.finished <= 2 / each
    names = {"client", "gateway", "state", "cache", "worker-routine", "triton"}
    assert {name for name, used in outcome.core_s.items() if used} == names


def test_a_station_is_as_busy_as_its_work():
    outcome = simulate(Fleet(), PLAIN, Traffic(30.0, 0.0, 100.0))
    assert outcome.busy["state"] == pytest.approx(30.0 * PLAIN.state.of(1), rel=0.05)
    assert outcome.busy["triton"] == pytest.approx(30.0 * PLAIN.encoder.of(1) / 2, rel=0.05)


def test_the_same_seed_gives_the_same_run_and_another_does_not():
    slow = replace(PLAIN, delay=Delay(0.01, 0.5))

    def run(seed):
        return simulate(Fleet(), slow, Traffic(10.0, 50.0, 20.0, seed=seed)).stat_s

    assert run(1) == run(1) != run(2)


def test_an_ecg_that_is_alone_takes_its_own_work_and_no_more():
    outcome = simulate(Fleet(), PLAIN, Traffic(0.01, 0.0, 3_000.0))
    parts = (PLAIN.gateway, PLAIN.state, PLAIN.cache, PLAIN.prepare, PLAIN.write, PLAIN.encoder)
    whole = sum(part.of(1) for part in parts)
    assert len(outcome.stat_s) > 10
    assert all(seconds == pytest.approx(whole) for seconds in outcome.stat_s)


MODEL = Model(16, True, 0.0, 2, 1.0, NICE_0)


def inferred(model, calls, core_s=lambda n: n * 1.0):
    """Send (moment, images, level) to a model of two cores; returns when each was answered."""
    env = simpy.Environment()
    instances = Instances(env, Cores(env, 2), model, core_s)
    found = [0.0] * len(calls)

    def one(number, at, images, level):
        yield env.timeout(at)
        yield instances.infer(images, level)
        found[number] = env.now

    for number, call in enumerate(calls):
        env.process(one(number, *call))
    env.run()
    return found, instances.counts


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 16), st.integers(1, 2)), max_size=30),
    st.sampled_from([0.0, 0.5]),
    st.booleans(),
)
def test_no_batch_is_larger_than_the_largest_and_no_image_is_lost(calls, delay_s, batches):
    _, counts = inferred(replace(MODEL, delay_s=delay_s, batches=batches), calls)
    assert counts.largest <= MODEL.max_batch
    assert counts.images == sum(images for _, images, _ in calls)
    if not batches:
        assert counts.executions == len(calls)


def test_a_call_larger_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="at most 16"):
        inferred(MODEL, [(0.0, 17, 1)])


def test_a_batch_waits_for_others_unless_it_is_full():
    waits = replace(MODEL, delay_s=3.0)
    (alone,), _ = inferred(waits, [(0.0, 1, 1)])
    assert alone == pytest.approx(3.0 + 1.0)
    both, counts = inferred(waits, [(0.0, 1, 1), (2.0, 1, 1)])
    assert both == pytest.approx([3.0 + 2.0] * 2)
    assert counts.executions == 1
    full, _ = inferred(waits, [(0.0, 16, 1)])
    assert full == pytest.approx([16.0])


def test_a_higher_priority_goes_first():
    one = replace(MODEL, instances=1, max_batch=4)
    answered, _ = inferred(one, [(0.0, 4, 2), (0.1, 4, 2), (0.2, 4, 1)])
    assert answered == pytest.approx([4.0, 12.0, 8.0])


def test_bedside_ecgs_do_not_wait_behind_an_archive():
    fleet = Fleet(routine=2, machine=2)
    alone = simulate(fleet, PLAIN, Traffic(5.0, 0.0, 60.0))
    beside = simulate(fleet, PLAIN, Traffic(5.0, SATURATED, 60.0))
    assert beside.routine_per_s > 100.0
    # A thousand records wait all the time, which take some seconds.
    assert beside.stat_ms(99) < 4 * alone.stat_ms(99) < 1e3


def test_a_claim_takes_a_share_and_rings_for_the_next_worker():
    env = simpy.Environment()
    queue = JobQueue(env, SHARES[Priority.ROUTINE])
    bells = [queue.bell(), queue.bell()]
    assert not any(bell.triggered for bell in bells)
    queue.put([Job(0.0) for _ in range(400)])
    assert [bell.triggered for bell in bells] == [True, False]
    assert len(queue.claim(32)) == 32
    assert [bell.triggered for bell in bells] == [True, True]
    queue.claim(268)  # share: 46
    assert len(queue) == 400 - 32 - 46
    small = JobQueue(env, SHARES[Priority.ROUTINE])
    small.put([Job(0.0) for _ in range(40)])
    assert len(small.claim(32)) == 8  # an eighth would be five
    stat = JobQueue(env, SHARES[Priority.STAT])
    stat.put([Job(0.0) for _ in range(40)])
    assert len(stat.claim(8)) == 8


def test_micro_batches_and_calls_keep_their_limits():
    outcome = simulate(Fleet(routine=1, triton=1), PLAIN, Traffic(200.0, SATURATED, 10.0))
    routine, stat = serving("cpu", 2)
    assert 1.0 < outcome.batches["stat"] <= 8
    assert 8.0 < outcome.batches["routine"] <= 32
    assert outcome.largest == {"stat": stat.max_batch, "routine": routine.max_batch}


ROUTINE = rule("worker-routine")
GRADUAL = Rule(0, 10, 10.0, 100.0, 50.0, 0.25, 60.0, (Trigger(10.0, is_average=True),))


def follow(scaler, values, step_s=1.0):
    """Let each value stand for a step; returns pods and ready pods after each."""
    found = []
    for number, value in enumerate(values):
        scaler.look(number * step_s, [value])
        found.append((scaler.pods, scaler.ready(number * step_s)))
    return found


def test_the_first_pod_comes_with_the_poll_and_works_after_its_start():
    course = follow(Autoscaler(GRADUAL, start_s=20.0), [0.0] * 5 + [5.0] * 40)
    assert [pods for pods, _ in course[:10]] == [0] * 10
    assert course[10] == (1, 0)
    assert course[29] == (1, 0)
    assert course[30] == (1, 1)


def test_pods_come_at_most_four_or_double_a_look_and_never_over_the_most():
    scaler = Autoscaler(GRADUAL, start_s=0.0)
    pods = [count for count, _ in follow(scaler, [1e6] * 100)]
    steps = sorted(set(pods))
    assert steps == [5, 10]  # the first poll and look come together
    assert pods.index(10) == SYNC_S


def test_pods_go_slowly_and_only_after_the_window():
    scaler = Autoscaler(GRADUAL, start_s=0.0)
    pods = [count for count, _ in follow(scaler, [1e6] * 60 + [1.0] * 200)]
    last_high = 59 // SYNC_S * SYNC_S
    gone = next(number for number, count in enumerate(pods) if number > 60 and count < 10)
    assert gone > last_high + GRADUAL.down_window_s
    for number in range(gone, 200):
        assert pods[number] >= math.floor(0.75 * pods[number - 60]) - 1
    assert min(pods[60:]) >= 1  # the last one waits for the cool-down, and there is work


def test_the_last_pod_goes_after_the_cool_down():
    pods = [c for c, _ in follow(Autoscaler(GRADUAL, start_s=0.0), [5.0] * 10 + [0.0] * 300)]
    gone = pods.index(0)
    assert GRADUAL.cooldown_s <= gone <= GRADUAL.cooldown_s + GRADUAL.polling_s


def test_near_the_threshold_the_count_stays():
    trigger = Trigger(10.0, is_average=True)
    assert [trigger.wanted(4, value) for value in (43.9, 44.1, 36.1, 35.9)] == [4, 5, 4, 4]
    assert Trigger(900.0, is_average=False).wanted(4, 1_800.0) == 8


def test_the_rules_are_those_of_the_manifests():
    assert (ROUTINE.least, ROUTINE.most, ROUTINE.cooldown_s) == (0, 32, 300.0)
    assert [trigger.threshold for trigger in ROUTINE.triggers] == [9000.0, 900.0]
    assert [rule(name).least for name in ("gateway", "worker-stat", "triton")] == [2, 2, 2]
    with pytest.raises(LookupError):
        rule("web")
    assert (pod("worker-routine").most, pod("gateway").reserved) == (1.0, 0.5)


def test_an_archives_night_takes_as_long_as_its_work():
    course = night_of(
        72_000, lambda workers: 10.0 * min(workers, 1), Autoscaler(replace(ROUTINE, most=1)),
        intake_per_s=1_000.0, backlog=1e6, within_s=4 * 3_600.0,
    )  # fmt: skip
    assert course.done_s == pytest.approx(7_200.0, abs=60.0)
    assert course.pod_hours == pytest.approx((7_200.0 + ROUTINE.cooldown_s) / 3_600.0, rel=0.05)
    assert course.waiting[-1] == 0.0


def test_a_backlog_over_its_limit_waits_outside():
    course = night_of(
        50_000, lambda workers: 20.0 * workers, Autoscaler(replace(ROUTINE, most=4)),
        intake_per_s=1e5, backlog=9_000.0, within_s=3_600.0,
    )  # fmt: skip
    assert max(course.waiting) <= 9_000.0
    assert math.isfinite(course.done_s)


def test_a_plan_with_one_less_of_anything_misses_its_aim():
    loads = {"all": Load(20.0, 500.0)}
    planner = Planner(PLAIN, Aim(0.5))
    plan = planner.smallest(loads)
    assert plan.cells == 1
    assert planner.holds(plan.fleet, loads["all"])
    smaller = list(planner.smaller(plan.fleet))
    assert {fleet.routine for fleet in smaller} > {plan.fleet.routine}
    assert {fleet.triton for fleet in smaller} > {plan.fleet.triton}
    assert not any(planner.holds(fleet, loads["all"]) for fleet in smaller)


def test_a_load_over_one_state_store_is_shared_among_several():
    planner = Planner(PLAIN, Aim())
    assert planner.cells([Load(0.0, 1_000.0)]) == 1
    assert planner.cells([Load(0.0, 1_000.0), Load(0.0, 10_000.0)]) == 7


def test_an_aim_below_an_idle_machine_is_refused(monkeypatch):
    monkeypatch.setattr("loadtest.capacity.plan.ROUNDS", 3)
    with pytest.raises(SystemExit, match="no number"):
        Planner(PLAIN, Aim(0.001)).smallest({"all": Load(1.0, 0.0)})


def test_hospitals_have_a_plan_with_its_price():
    demand = Demand(10, 500.0, 20_000)
    plan = plan_of(demand, PLAIN, Aim())
    assert plan.outcomes["night"].routine_per_s >= demand.archive_per_s
    assert plan.night.done_s < demand.night.seconds
    assert plan.night.pod_hours >= demand.archive * PLAIN.write.item / 3_600.0
    spare = plan.with_spare(1)
    added = sum(pod(name).reserved for name in ("gateway", "worker-stat", "triton")) * 24.0
    assert spare.core_hours() == pytest.approx(plan.core_hours() + added)
    assert plan.price(Prices(2.0, 0.0)) == pytest.approx(2.0 * plan.core_hours())
    assert plan.gpu_hours() == 0.0


def test_a_day_has_all_its_ecgs_and_a_night_its_hours():
    demand = Demand(10, 240.0, 100, Night(22, 6))
    assert sum(map(share_of_day, range(24))) == pytest.approx(1.0)
    assert sum(demand.bedside_per_s(h) for h in range(24)) * 3_600 == pytest.approx(2_400.0)
    assert list(demand.night.hours) == [22, 23, 0, 1, 2, 3, 4, 5]
    assert demand.archive_per_s == pytest.approx(1_000 / (8 * 3_600))
    assert demand.busiest_night.stat_per_s < demand.peak.stat_per_s


def test_a_cost_through_two_batches_has_both():
    cost = through(11.0, 7.0, 16)
    assert cost.of(1) == pytest.approx(11.0)
    assert cost.of(16) == pytest.approx(16 * 7.0)
    assert through(6.0, 7.0, 16) == Cost(0.0, 7.0)  # a single one was not dearer


def test_a_delay_has_the_quantiles_that_it_was_given():
    delay, chance = Delay.through(0.01, 0.04), random.Random(3)
    drawn = sorted(delay.draw(chance) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.01, rel=0.05)
    assert drawn[19_800] == pytest.approx(0.04, rel=0.1)
    assert Delay.through(-0.001, 0.5) == Delay()


def test_the_costs_that_are_kept_add_up_to_what_was_measured():
    kept = costs.kept_costs()
    _, figures = costs._needed("bench")
    parts = (kept.client, kept.gateway, kept.state, kept.cache, kept.prepare, kept.write)
    outside = sum(part.of(32) / 32 for part in parts) * 1e3
    # The sum of medians is not the median of sums, and an idle STAT worker is left out.
    expected = figures["outside Triton, core-ms a record"]
    assert outside == pytest.approx(expected, rel=0.05)
    assert kept.encoder.of(16) / 16 * 1e3 == pytest.approx(figures["core-ms a record: triton"])
    assert kept.on_faster(2.0).encoder.of(16) == pytest.approx(kept.encoder.of(16) / 2)


def test_the_index_goes_through_what_was_measured_and_grows_beyond():
    assert costs.index_gb(1_000_000) == pytest.approx(3.866)
    measured = costs._searched(1_000_000, 2)
    assert costs.search_cost(1_000_000).item == pytest.approx(measured.item)
    sizes = [
        growth.nodes(1_000, costs.search_in_cells(n).item, costs.index_gb(n)) for n in growth.CASES
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] * growth.NODE.gb >= costs.index_gb(growth.CASES[-1])
    kept = costs.kept_costs()
    assert kept.with_search(20_000, 50_000).search == costs.NOTHING
    assert kept.with_search(60_000, 50_000).search.item > 0.0


def test_a_gpu_that_was_not_measured_is_called_an_assumption(monkeypatch):
    monkeypatch.setattr(costs, "kept", lambda _: None)
    assumed = costs.gpu_costs(4_000.0, 0.002)
    assert "assumed" in assumed.source
    assert assumed.encoder.of(64) == pytest.approx(64 / 4_000.0)
    figures = {
        f"fp16 engine, {n} images a call, images/s": rate for n, rate in ((1, 200), (64, 8e3))
    }
    monkeypatch.setattr(costs, "kept", lambda _: ("today", figures))
    measured = costs.gpu_costs(4_000.0, 0.002)
    assert "gpu-check" in measured.source
    assert measured.encoder.of(64) == pytest.approx(64 / 8e3)


def test_gpus_compute_larger_batches_on_no_core_of_the_machine():
    gpu = costs.gpu_costs(4_000.0, 0.002)
    outcome = simulate(Fleet(gpu=True, routine=4), PLAIN, Traffic(5.0, SATURATED, 4.0), gpu)
    cpu = simulate(Fleet(routine=4), PLAIN, Traffic(5.0, SATURATED, 4.0))
    assert outcome.routine_per_s > 2 * cpu.routine_per_s
    assert 16 < outcome.largest["routine"] <= 64


def test_what_is_short_first_is_what_the_shipped_numbers_hold_least_of():
    limits = growth.limits(costs.kept_costs().with_search(1_000_000, 0))
    assert min(limits, key=lambda name: limits[name]) == "Milvus"
    assert limits["state store"] < limits["gateway"]
    assert set(growth.WAYS_ON) == set(limits)


def test_a_picture_of_growth_is_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr("loadtest.pictures.FOLDER", tmp_path)
    figures = {f"limit: {name}, ECG/s": 10.0 + len(name) for name in growth.WAYS_ON}
    for kind in pictures.NAMES:
        figures |= {f"{load} ECG/s: {kind}": load / 10 for load in growth.LOADS}
    for cases in growth.CASES:
        figures |= growth.index_of(cases)
    path = pictures.draw(figures)
    assert path.name == "capacity.svg"
    text = path.read_text()
    assert pictures.draw(figures).read_text() == text


def test_a_checks_traffic_is_the_wanted_share_of_the_work():
    options = check.Options(seconds=25.0, stat_per_s=8.0)
    traffic = check.traffic_of(80.0, PLAIN, options)
    work = traffic.stat_per_s * check._work(PLAIN, 1)
    work += traffic.routine_per_s * check._work(PLAIN, check.GROUP)
    assert work / check._work(PLAIN, check.GROUP) == pytest.approx(80.0, rel=0.02)
    assert traffic.routine_per_s * traffic.seconds % check.GROUP == pytest.approx(0.0)
