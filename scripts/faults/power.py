"""Records what a run does to files, and replays every beginning of it as a loss of power would leave it.

A small model of a file system, with what fsync(2) promises and nothing more. At a loss of power

- the data of a file that was not forced out since it was written is there, missing, cut off, or zeros;
- the names in a directory are those of some moment between its last fsync and the loss, each directory by itself ("any"), which
  is weaker than what ext4 and xfs do; or all directories stand at one moment ("ordered"), since those two write their names in
  the order of a log, and an fsync of anything brings the log up to what it changed last.

What the link leads to then has to be, byte for byte and signatures included, a generation that was whole: the old or the new. After
the run has ended it has to be the new. A sample of the states is written to a real directory, where the next run has to converge.
"""

import os
import random
import time

import tracer
from kill import inside
from sites import SECOND, Failed, differing, shown


class Node:
    """A file, a directory or a symlink: what it was at first, what was done to it, and what was forced out, by time."""

    def __init__(self, kind, base, modified=None):
        self.kind, self.base = kind, base
        self.modified = modified  # the time of a file that was there at first
        self.changes = []  # (time, change)
        self.forced = []  # (time it ended, time up to which it covers)
        self.now = dict(base) if kind == "dir" else base

    def covered(self, time):
        return max((upto for ended, upto in self.forced if ended <= time), default=0)

    def last_change(self, upto):
        return max((at for at, _ in self.changes if at <= upto), default=0)


def load(path):
    if os.path.islink(path):
        return Node("link", os.readlink(path))
    if os.path.isdir(path):
        return Node("dir", {name: load(os.path.join(path, name)) for name in os.listdir(path)})
    with open(path, "rb") as file:
        return Node("file", file.read(), os.stat(path).st_mtime_ns)


class OutOfOrder(Failed):
    """Of two threads, the one that used a directory was told of before the one that made it: what the tracer hears of first
    is not always what was first."""


class Recorder:
    """What runs do below a site's directory."""

    def __init__(self, site):
        self.site, self.top, self.time = site, load(site.path), 0
        self.entries = {}

    def find(self, path):
        node = self.top
        relative = os.path.relpath(path, self.site.path)
        for part in relative.split("/"):
            if part != ".":
                node = node.now.get(part) if node is not None and node.kind == "dir" else None
        return node

    def name(self, path, node):
        directory = self.find(os.path.dirname(path))
        if directory is None:
            raise OutOfOrder(f"{path} is named in a directory that nobody made")
        base = os.path.basename(path)
        directory.changes.append((self.time, (base, node)))
        if node is None:
            directory.now.pop(base, None)
        else:
            directory.now[base] = node

    def decide(self, call):
        is_top = call.path == self.site.path and call.name == "fsync"
        if not (inside(self.site, call) or is_top) or call.path.endswith(" (deleted)"):
            return None
        call.started = self.time
        if call.name in ("write", "writev", "pwrite64"):
            call.bytes = call.data()
            if call.name == "pwrite64":
                call.at = call.arguments[3]
            else:
                with open(f"/proc/{call.tid}/fdinfo/{call.fd(0)}") as info:
                    call.at = int(info.readline().split()[1])
        elif call.name in ("rename", "renameat", "renameat2", "link", "linkat"):
            call.first = call.first_path()
        elif call.name in ("symlink", "symlinkat"):
            call.leads = call.target()
        elif call.name in ("fallocate", "copy_file_range", "sendfile", "pwritev", "pwritev2", "truncate"):
            raise Failed(f"the model does not know {call.name} yet")
        return "after"

    def after(self, call, result):
        if result < 0:
            return
        name, path = call.name, call.path
        node = self.find(path)
        self.time += 1
        if name in ("open", "openat", "creat"):
            if call.flags() & (os.O_TMPFILE & ~os.O_DIRECTORY):
                return
            if node is None:
                self.name(path, Node("file", b""))
            elif call.flags() & os.O_TRUNC:
                self.write(node, lambda data: b"")
        elif name in ("write", "writev", "pwrite64") and node is not None:
            at, new = call.at, call.bytes[:result]
            self.write(node, lambda data: data[:at].ljust(at, b"\0") + new + data[at + len(new):])
        elif name == "ftruncate" and node is not None:
            length = call.arguments[1]
            self.write(node, lambda data: data[:length].ljust(length, b"\0"))
        elif name.startswith("mkdir"):
            self.name(path, Node("dir", {}))
        elif name.startswith("symlink"):
            self.name(path, Node("link", call.leads))
        elif name.startswith("link"):
            self.name(path, self.find(call.first))
        elif name.startswith("rename"):
            moved = self.find(call.first)
            if os.path.dirname(call.first) != os.path.dirname(path):
                # Two directories, each with a time of its own.
                self.name(call.first, None)
                self.name(path, moved)
                return
            directory = self.find(os.path.dirname(path))
            old, new = os.path.basename(call.first), os.path.basename(path)
            directory.changes.append((self.time, (old, None, new, moved)))
            directory.now.pop(old, None)
            directory.now[new] = moved
        elif name in ("unlink", "unlinkat", "rmdir"):
            self.name(path, None)
        elif name in ("fsync", "fdatasync") and node is not None:
            node.forced.append((self.time, call.started))
            self.entries[self.time] = node

    def write(self, node, change):
        node.now = change(node.now)
        node.changes.append((self.time, node.now))

    def run(self, clock, kill_at=None):
        seen = {"n": 0}

        def decide(call):
            if kill_at is not None and inside(self.site, call):
                seen["n"] += 1
                if seen["n"] == kill_at:
                    return ("kill", [call.pid])
            return self.decide(call)

        code = tracer.run(self.site.run_command(clock), decide, self.site.path + ".log", after=self.after)
        if kill_at is None and code != 0:
            raise Failed(f"the recorded run ended with {code}: {open(self.site.path + '.log').read()}")


class Loss:
    """The state after a loss of power at a time: which names and which data made it to the disk."""

    WAYS = ("least", "most, zeros", "most, cut off", "any", "any", "any", "ordered", "ordered")

    def __init__(self, recorder, time, way, chance):
        self.recorder, self.time, self.way, self.chance = recorder, time, way, chance
        self.cuts, self.datas = {}, {}
        if way == "ordered":
            fsyncs = [(node, upto) for node in {id(n): n for n in recorder.entries.values()}.values()
                      for ended, upto in node.forced if ended <= time]
            least = max((node.last_change(upto) for node, upto in fsyncs), default=0)
            self.moment = chance.randint(least, time)

    def cut(self, node):
        if id(node) not in self.cuts:
            least = node.covered(self.time)
            if self.way == "least":
                cut = least
            elif self.way.startswith("most"):
                cut = self.time
            elif self.way == "ordered":
                cut = max(least, self.moment)
            else:
                cut = self.chance.choice((least, self.time, self.chance.randint(least, self.time)))
            self.cuts[id(node)] = cut
        return self.cuts[id(node)]

    def names(self, node):
        cut, names = self.cut(node), dict(node.base)
        for at, change in node.changes:
            if at > cut:
                break
            for name, new in zip(change[::2], change[1::2]):
                if new is None:
                    names.pop(name, None)
                else:
                    names[name] = new
        return names

    def data(self, node):
        if id(node) not in self.datas:
            least = node.covered(self.time)
            sure, wanted = node.base, node.base
            for at, data in node.changes:
                if at <= least:
                    sure = data
                if at <= self.time:
                    wanted = data
            if sure is not wanted and sure != wanted:
                fate = {"least": "none", "most, zeros": "zeros", "most, cut off": "cut"}.get(self.way)
                fate = fate or self.chance.choice(("none", "zeros", "cut", "all"))
                whole = len(wanted)
                cut = self.chance.randrange(whole) if whole else 0
                wanted = {"none": sure, "zeros": bytes(whole), "cut": wanted[:cut], "all": wanted}[fate]
            self.datas[id(node)] = wanted
        return self.datas[id(node)]

    def below(self, node, *path):
        for part in path:
            node = self.names(node).get(part) if node is not None and node.kind == "dir" else None
        return node

    def served(self):
        """The files below what the link leads to, or None without a link."""
        link = self.below(self.recorder.top, "site", "merged")
        if link is None:
            return None
        tree = self.below(self.recorder.top, "site", link.base)
        found = {}
        self._collect(self.below(tree, "dists"), "dists", found)
        return found

    def _collect(self, node, path, found):
        if node is None:
            return
        if node.kind == "dir":
            for name, inner in self.names(node).items():
                self._collect(inner, f"{path}/{name}", found)
        else:
            found[path] = self.data(node) if node.kind == "file" else "-> " + node.base

    def write_to(self, path, node=None):
        node = node or self.recorder.top
        if node.kind == "dir":
            os.mkdir(path)
            for name, inner in self.names(node).items():
                self.write_to(os.path.join(path, name), inner)
        elif node.kind == "link":
            os.symlink(node.base, path)
        else:
            with open(path, "wb") as file:
                file.write(self.data(node))
            if node.modified is not None and not node.changes:
                os.utime(path, ns=(node.modified, node.modified))


def live(recorder):
    """What is served while the machine runs."""
    return Loss(recorder, recorder.time, "live", random).served_live()


def served_live(self):
    self.cut = lambda node: self.time
    self.data = lambda node: node.now
    return self.served()


Loss.served_live = served_live


def record(scenario, part, tries=5):
    """A run of a scenario; with the number of a call, a run killed there and the one that recovers. Gives the states that may be served."""
    while True:
        tries -= 1
        try:
            return record_once(scenario, part, f"{scenario.base.path}-recorded-{part}-{tries}")
        except OutOfOrder:
            if tries == 0:
                raise


def record_once(scenario, part, path):
    site = scenario.base.copy(path)
    recorder = Recorder(site)
    allowed = [live(recorder)]
    if part:
        recorder.run(SECOND, kill_at=part)
        allowed.append(live(recorder))
    begin = recorder.time
    recorder.run(SECOND)
    allowed.append(live(recorder))
    return recorder, allowed, begin if part else 0


def replay(recorder, allowed, at, way, seed, path, scenario):
    """One loss; with a path, the next run after it as well. Gives which state was served."""
    loss = Loss(recorder, at, way, random.Random(seed))
    served = loss.served()
    what = f"{scenario.name}: power lost after {at} of {recorder.time} operations ({way}, seed {seed})"
    ended = at == recorder.time
    if served not in allowed[-1:] and (ended or served not in allowed):
        other = [differing(served or {}, state or {}) for state in allowed]
        near = min(other, key=len)
        raise Failed(f"{what}: what is served is no generation" + (" or not the new one" if ended else "")
                     + f"; the nearest differs in {shown(near)}")
    if path:
        loss.write_to(path)
        site = scenario.base.__class__(path, scenario.base.program, scenario.base.keys)
        for name in ("overlay", "suites", "architectures", "banned", "extra"):
            setattr(site, name, getattr(scenario.base, name))
        site.write_config(scenario.base.push)
        scenario.check_next(site, scenario.check_served(site, what), what)
    return allowed.index(served)


def run(bench, chosen):
    options = bench.options
    for scenario in chosen(bench):
        if scenario.name == "push":
            continue  # a target's disk is the target's
        chance = random.Random(f"{options.seed} {scenario.name}")
        # A run by itself, and one after another that was killed at some moment, whose traces were not forced out either: somewhere,
        # in the middle of its sync, before it pointed the link back, and before it forced that out.
        swaps = [n for n, call in enumerate(scenario.calls, 1) if call.startswith("rename") and call.endswith("/site/merged")]
        parts = [0, chance.randrange(1, len(scenario.calls))]
        if swaps and scenario.name != "recovery":
            swap, back = swaps[0], swaps[-1]
            parts += [swap + 1, chance.randrange(swap + 1, back), back, back + 1]
        if options.points < 10:
            parts = [0, *parts[-2:]]  # for a test that has little time
        for part in parts:
            start = time.monotonic()
            recorder, allowed, begin = record(scenario, part)
            every = max(1, (recorder.time - begin) // (options.points * 4))
            times = list(range(begin + chance.randrange(every), recorder.time, every)) + [recorder.time]
            items = [(at, way, chance.randrange(10**9), None) for at in times for way in Loss.WAYS]
            for item in chance.sample(items, min(len(items), options.points)):
                items.append((*item[:3], True))
            work = lambda item, path: replay(recorder, allowed, *item[:3], path if item[3] else None, scenario)
            losses = sum(1 for _ in bench.each(work, items))
            told = f"after one killed at call {part}, " if part else ""
            print(f"power {scenario.name} ({scenario.describe}): {told}{recorder.time - begin} operations, "
                  f"{losses} losses at {len(times)} moments, {min(len(items), options.points)} with the next run; "
                  f"{time.monotonic() - start:.0f} s", flush=True)
