"""Kills a run at the n-th of all its system calls that change a file, and looks at what is left.

The calls before, at and after each swap of the link are always among those that are tried. Where the link is says which swaps were made.
Afterwards what is served, through the link, has to be wholly the old or wholly the new generation, `aptmerge verify` has to find
nothing wrong with it, and the next, undisturbed run has to come to the very bytes that a run without any fault comes to.
"""

import os
import random

import tracer
from sites import ALL_SUITES, FIRST, SECOND, THIRD, Failed, by_suite, contents, differing, history_is_whole, shown

LATER = THIRD.replace("T00", "T12")


def is_swap(call):
    """Whether a call points the link at the other tree."""
    return call.name.startswith("rename") and call.path.endswith("/site/merged")


def after_swaps(tree, how_many):
    """Where the link is after some swaps."""
    for _ in range(how_many):
        tree = "merged-production" if tree == "merged-volatile" else "merged-volatile"
    return tree


def inside(site, call):
    """Whether a call is one to count: it changes what is below the site's directory."""
    if not call.path.startswith(site.path + "/") or not call.changes():
        return False
    # mkdir -p makes many calls that can only find what is there.
    return not (call.name.startswith("mkdir") and os.path.isdir(call.path))


class Scenario:
    """A site before a run, what the run makes of it, and how many steps it takes."""

    def __init__(self, name, bases, describe, victims=("caller",)):
        self.name, self.bases, self.describe, self.victims = name, bases, describe, victims
        self.base = bases[0]
        self.old = self.base.served()[1]
        after = self.base.copy(self.base.path + "-after")
        self.calls, self.swaps = [], []

        def note(call):
            if inside(after, call):
                self.calls.append(call.short())
                if is_swap(call):
                    self.swaps.append(len(self.calls))

        log = after.path + ".log"
        code = tracer.run(after.run_command(SECOND), note, log)
        if code != 0:
            raise Failed(f"{name}: the undisturbed run ended with {code}: {open(log).read()}")
        self.new = after.served()[1]
        after.expect(0, "verify", "--clock", SECOND)
        later = self.base.copy(self.base.path + "-later")
        later.expect(0, "run", "--clock", THIRD)
        self.third = later.served()[1]

    def points(self, how_many, seed):
        """One out of each of as many equal parts of the run, another one each time; and those around the swaps."""
        chance = random.Random(f"{seed} {self.name}")
        total = len(self.calls)
        if how_many >= total:
            return list(range(1, total + 1))
        parts = {1 + int((part + chance.random()) * total / how_many) for part in range(how_many)}
        return sorted(parts | {swap + n for swap in self.swaps for n in (-1, 0, 1) if 0 < swap + n <= total})

    def check_served(self, site, what):
        """After a fault; says whether the new generation is served."""
        tree, served = site.served()
        if tree is None:
            if self.old:
                raise Failed(f"{what}: what was served is gone")
            return False
        if served == self.new:
            return True
        if served == self.old and self.old:
            return False
        raise Failed(f"{what}: {tree} is neither wholly old nor wholly new; it differs from the old in "
                     f"{shown(differing(served, self.old))}; from the new in {shown(differing(served, self.new))}")

    def check_suites(self, site, what):
        """After a fault that kept some suites back: each is wholly old, or not there, or wholly new."""
        served, old, new = by_suite(site.served()[1]), by_suite(self.old), by_suite(self.new)
        for suite in set(old) | set(new) | set(served):
            if served.get(suite) not in (old.get(suite), new.get(suite)):
                raise Failed(f"{what}, exit 3: {suite} is neither wholly old nor wholly new")
        return {suite for suite in new if served.get(suite) == new[suite]}

    def check_next(self, site, is_new, what):
        """After the next run, which nobody disturbs; `is_new` may be the suites that are new."""
        done = site.call("run", "-v", "--lock-wait", "60", "--clock", THIRD)
        if done.returncode != 0:
            raise Failed(f"{what}: the next run ended with {done.returncode}: {done.stderr}")
        tree, served = site.served()
        # What was published already keeps its Date; else it is published now.
        wanted = self.new if is_new else self.third
        if isinstance(is_new, set):
            new, third = by_suite(self.new), by_suite(self.third)
            wanted = {path: data for suite in third for path, data in (new if suite in is_new else third)[suite].items()}
        if tree != "merged-production" or served != wanted:
            raise Failed(f"{what}: after the next run {tree} differs in {shown(differing(served, wanted))}")
        # The cache is cleared after a generation is published.
        litter = [path for path in site.litter() if not (is_new and "/cache/" in path)]
        if litter:
            raise Failed(f"{what}: the next run left {shown(litter)}")
        if not history_is_whole(site):
            raise Failed(f"{what}: log/amprolla.txt lacks a generation")
        if site.push:
            pushed = contents(site.target)
            if pushed != served:
                raise Failed(f"{what}: the target differs in {shown(differing(pushed, served))}")


def scenarios(base, make_overlay):
    """Each a function, since making one costs some runs. `base(name)` is a fresh site."""

    def published(name, **values):
        site = base(name)
        for key, value in values.items():
            setattr(site, key, value)
        site.write_config()
        site.expect(0, "run", "--clock", FIRST)
        return site

    def first():
        return Scenario("first", [base("first")], "a first run")

    def small():
        site = published("small")
        site.overlay = make_overlay()
        site.write_config()
        return Scenario("small", [site], "one package changed upstream")

    def big():
        site = published("big", suites=ALL_SUITES)
        site.overlay = make_overlay()
        site.architectures = ["all", "amd64", "arm64"]
        site.banned = site.banned + ["multi"]
        site.write_config()
        return Scenario("big", [site], "five suites, every index")

    def nothing():
        return Scenario("nothing", [published("nothing")], "nothing changed")

    def recovery():
        """Runs that were killed right after the swap, in the middle of the sync, and just before the link was pointed back."""
        site = published("recovery")
        site.overlay = make_overlay()
        site.write_config()
        calls = []
        undisturbed = site.copy(site.path + "-undisturbed")
        tracer.run(undisturbed.run_command(SECOND), lambda c: calls.append(c) if inside(undisturbed, c) else None, site.path + ".log")
        swap, back = [n for n, c in enumerate(calls, 1) if is_swap(c)]
        bases = []
        for part, nth in enumerate((swap + 1, (swap + back) // 2, back)):
            copy = site.copy(f"{site.path}-{part}")
            kill_at(copy, nth, "caller", SECOND)
            tree, _ = copy.served()
            if tree != "merged-volatile":
                raise Failed(f"recovery: killed at {nth} of {swap} to {back}, the link is at {tree}")
            bases.append(copy)
        return Scenario("recovery", bases, "a run after one that was killed after its swap")

    def push():
        site = base("push")
        site.write_config()
        site.expect(0, "run", "--clock", FIRST)
        site.write_config(push=True)
        return Scenario("push", [site], "a push, with rsync", victims=("main", "caller", "all"))

    return {f.__name__: f for f in (first, small, big, nothing, recovery, push)}


def kill_at(site, nth, victim, clock):
    """Runs a site until the n-th call, which is not made any more.

    Gives what was to be called, or None if the run ended before, and how many swaps were made.
    """
    seen = {"n": 0, "hit": None, "pids": [], "main": None, "swaps": 0}

    def decide(call):
        if seen["main"] is None:
            seen["main"] = call.pid
        if call.pid not in seen["pids"]:
            seen["pids"].append(call.pid)
        if not inside(site, call):
            return None
        seen["n"] += 1
        if seen["n"] != nth:
            seen["swaps"] += seen["hit"] is None and is_swap(call)
            return None
        seen["hit"] = call.short().replace(site.path + "/", "")
        return ("kill", {"caller": [call.pid], "main": [seen["main"]], "all": seen["pids"]}[victim])

    tracer.run(site.run_command(clock), decide, site.path + ".log")
    return seen["hit"], seen["swaps"]


def one(scenario, nth, path):
    """One point. Gives what was hit."""
    site = scenario.bases[nth % len(scenario.bases)].copy(path)
    victim = scenario.victims[nth % len(scenario.victims)]
    before = site.served()[0]
    hit, swaps = kill_at(site, nth, victim, SECOND)
    what = f"{scenario.name}: killed ({victim}) before call {nth}, {hit}"
    is_new = scenario.check_served(site, what)
    tree = site.served()[0]
    if tree != after_swaps(before, swaps):
        raise Failed(f"{what}: after {swaps} swaps the link is at {tree}")
    if nth % 5 == 0 and site.served()[0]:
        site.expect(0, "verify", "--clock", SECOND)
    scenario.check_next(site, is_new, what)
    if nth % 5 == 1:
        site.expect(0, "verify", "--clock", LATER)
        again = site.expect(0, "run", "-v", "--clock", LATER)
        if "nothing changed" not in again or "pushing" in again:
            raise Failed(f"{what}: a second run has still something to do: {again}")
    return hit, is_new
