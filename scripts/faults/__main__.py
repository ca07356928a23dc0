"""Faults in a run, one at a time, and what they leave: see docs/reliability.md.

    scripts/faults/run kill       killed at the n-th system call that changes a file
    scripts/faults/run errors     the n-th system call fails: ENOSPC, EIO, EDQUOT, EROFS, EMFILE
    scripts/faults/run power      the power goes: what was not forced to the disk is lost, torn or reordered
    scripts/faults/run disk       a file system that is too small
"""

import argparse
import collections
import multiprocessing
import os
import random
import shutil
import sys
import time
import traceback

import kill
import sites
import tracer

HOME = sites.HOME


def parse():
    parser = argparse.ArgumentParser(prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "errors", "power", "disk"])
    parser.add_argument("--program", default=os.path.join(HOME, "target/debug/aptmerge"), help="the aptmerge to try")
    parser.add_argument("--points", type=int, default=12, help="faults of each scenario (default 12)")
    parser.add_argument("--scenario", action="append", help="only this scenario; may be given again")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="chooses the points")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (default 2)")
    parser.add_argument("--keep", action="store_true", help="leave the sites of failures where they are")
    return parser.parse_args()


class Bench:
    """Where the sites stand, and the jobs that are done on them."""

    def __init__(self, options):
        self.options = options
        self.dir = sites.work_dir()
        self.keys = os.path.join(self.dir, "keys")
        sites.copy_keys(self.keys)
        self.overlays = 0
        self.failures = []

    def base(self, name):
        site = sites.Site(os.path.join(self.dir, name), os.path.abspath(self.options.program), self.keys)
        site.write_config()
        return site

    def raised_overlay(self):
        path = os.path.join(self.dir, "overlay-raised")
        if not os.path.exists(path):
            overlay = sites.Overlay(path, self.keys)
            overlay.raise_to("1.1")
            overlay.close()
        return path

    def each(self, work, items):
        """Does `work(item, path)` for every item in a process of its own each; yields (item, result) of those that hold."""
        with multiprocessing.Pool(self.options.jobs, initializer=set_work, initargs=(work, self.dir, self.options.keep)) as pool:
            for item, result, failure in pool.imap_unordered(do_one, items):
                if failure:
                    self.failures.append(failure)
                    print(f"FAILED {failure}", file=sys.stderr, flush=True)
                else:
                    yield item, result

    def close(self):
        if not (self.failures and self.options.keep):
            shutil.rmtree(self.dir, ignore_errors=True)


WORK = None


def set_work(work, directory, keep):
    global WORK
    WORK = (work, directory, keep)


def do_one(item):
    work, directory, keep = WORK
    path = os.path.join(directory, f"job-{os.getpid()}-{time.monotonic_ns()}")
    failure = result = None
    try:
        result = work(item, path)
    except (sites.Failed, tracer.TimedOut) as error:
        failure = f"{error}" + (f" (left in {path})" if keep else "")
    except Exception:
        failure = f"{item}: {traceback.format_exc()}"
    if not (failure and keep):
        for left in (path, path + ".log"):
            shutil.rmtree(left, ignore_errors=True) if os.path.isdir(left) else os.path.exists(left) and os.unlink(left)
    return item, result, failure


def chosen(bench):
    made = kill.scenarios(bench.base, bench.raised_overlay)
    for name in bench.options.scenario or made:
        if name == "push" and not shutil.which("rsync"):
            print("skipped: no rsync", file=sys.stderr)
            continue
        yield made[name]()


def run_kill(bench):
    for scenario in chosen(bench):
        start = time.monotonic()
        points = scenario.points(bench.options.points, bench.options.seed)
        ends = collections.Counter()
        for _, (hit, is_new) in bench.each(lambda nth, path: kill.one(scenario, nth, path), points):
            ends["not hit" if hit is None else "new served" if is_new else "old served"] += 1
        told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        print(f"kill {scenario.name} ({scenario.describe}): {len(scenario.calls)} calls, killed at {len(points)}: {told}; "
              f"{time.monotonic() - start:.0f} s", flush=True)


def main():
    options = parse()
    missing = tracer.available() if options.what != "disk" else None
    if missing is None and not shutil.which("gpg"):
        missing = "no gpg"
    if missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return 0
    print(f"seed {options.seed}, {options.program}", flush=True)
    bench = Bench(options)
    try:
        if options.what == "kill":
            run_kill(bench)
        elif options.what == "errors":
            import errors
            errors.run(bench, chosen)
        elif options.what == "power":
            import power
            power.run(bench, chosen)
        else:
            import disk
            disk.run(bench)
    except sites.Failed as failure:
        bench.failures.append(str(failure))
        print(f"FAILED {failure}", file=sys.stderr)
    finally:
        bench.close()
    print("it holds" if not bench.failures else f"{len(bench.failures)} failures")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
