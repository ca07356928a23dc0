"""Makes the n-th call of a kind fail, once or from then on, and looks at how the run ends and what it says.

A run that fails has to say on which file and why, by one of its exit codes and without a panic: 1 if what is served is untouched,
4 if the new generation is served. 0 and 3 are right only if nothing was lost: then all is as after a run without any fault. In each
case the next run comes to the same bytes, and what the failed one left under temporary names is gone.
"""

import collections
import errno
import json
import os
import random
import re
import time

import tracer
from kill import inside, is_swap
from sites import ARCHIVES, SECOND, Failed, shown

WRITE = {"write", "writev", "pwrite64", "pwritev", "fallocate", "copy_file_range", "sendfile"}
OPEN = {"open", "openat", "creat"}
NAME = {"mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2"}
REMOVE = {"unlink", "unlinkat", "rmdir"}
META = {"chmod", "fchmod", "fchmodat", "utimensat", "ftruncate", "truncate"}
SYNC = {"fsync", "fdatasync"}
LOOK = {"read", "pread64", "getdents64", "readlink", "readlinkat"}

# What fails, how, and whether the calls that only look count as well.
KINDS = [
    ("ENOSPC", "write", WRITE, False), ("ENOSPC", "name", NAME, False), ("ENOSPC", "create", OPEN, False),
    ("ENOSPC", "fsync", SYNC, False), ("EDQUOT", "write", WRITE, False), ("EDQUOT", "create", OPEN | NAME, False),
    ("EIO", "write", WRITE, False), ("EIO", "fsync", SYNC, False), ("EIO", "name", NAME, False), ("EIO", "remove", REMOVE, False),
    ("EIO", "read", LOOK, True), ("EIO", "open", OPEN, True), ("EIO", "meta", META, False),
    ("EROFS", "all", OPEN | NAME | REMOVE | META, False), ("EMFILE", "open", OPEN, True), ("EACCES", "open", OPEN, True),
]
# What a run can do without. Whatever else fails has to fail the run.
HARMLESS = [
    r"site/aptmerge\.lock$",  # the holder's name is for people; the lock is held all the same
    r"^(read|openat|open) site/log/",  # a report that cannot be read is written anew
    r"^(read|openat|open|getdents64) site/merged-volatile/",  # what cannot be read back is made again, once
    r"^write site/state/#",  # what rsync says of a target: where it is cut off, the next run looks again
    r" target/",  # rsync's own business: what counts is that the target converges
    r"^read site/spool/#|^open\w* site/spool/objects/..$",  # what comes from an archive is fetched once more
    r"^open\w* site/merged-\w+/dists/.*\.diff/[0-9a-f]+\.gz$",  # a patch that cannot be read is written anew, or left out
    r" site/(cache|state/checked)(/|$)",  # it costs the next run time, and nothing else
]


def matches(site, call, names, looks):
    if call.name not in names:
        return False
    if looks:
        return call.path.startswith((site.path + "/", ARCHIVES + "/", site.keys + "/"))
    return inside(site, call)


def wanted(names):
    return {name: number for name, number in {**tracer.MUTATING, **tracer.READING}.items() if name in names}


def count(scenario, names, looks):
    """How many such calls an undisturbed run makes, and which of them come right before and after a swap of the link."""
    site = scenario.base.copy(scenario.base.path + "-counted")
    total, around = 0, set()

    def note(call):
        nonlocal total
        if is_swap(call):
            around.update((total, total + 1))
        total += matches(site, call, names, looks)

    tracer.run(site.run_command(SECOND), note, site.path + ".log", wanted=wanted(names | NAME))
    os.system(f"rm -rf '{site.path}'")
    return total, sorted(nth for nth in around if 0 < nth <= total)


def one(scenario, item, path):
    code_name, kind, names, looks, nth, sticky = item
    number = getattr(errno, code_name)
    site = scenario.bases[nth % len(scenario.bases)].copy(path)
    seen, failed = {"n": 0, "hit": None}, []

    def decide(call):
        if not matches(site, call, names, looks):
            return None
        seen["n"] += 1
        if seen["n"] < nth or (seen["n"] > nth and not sticky):
            return None
        seen["hit"] = seen["hit"] or (call.name, call.path)
        failed.append(call.path)
        return ("error", number)

    log = site.path + ".log"
    code = tracer.run(site.run_command(SECOND), decide, log, wanted=wanted(names))
    with open(log, errors="replace") as file:
        text = file.read()
    call, hit = seen["hit"] or ("nothing", "")
    short = hit.replace(site.path + "/", "")
    what = f"{scenario.name}: {code_name}{' from' if sticky else ' at'} {kind} {nth} ({call} {short})"
    if code == 78 and hit == site.config:
        code = 1  # the configuration cannot be used, which is the same to what is served
    if "panicked" in text or "RUST_BACKTRACE" in text or code not in (0, 1, 3, 4):
        raise Failed(f"{what}: ended with {code}: {text}")
    # A suite whose archive cannot be read stays away or as it is, and costs no other suite.
    is_new = scenario.check_suites(site, what) if code == 3 else scenario.check_served(site, f"{what}, exit {code}")
    changes = scenario.old != scenario.new
    if code == 1 and is_new and changes or code in (0, 3, 4) and not is_new and seen["hit"] and code != 3:
        raise Failed(f"{what}: exit {code}, but {'the new' if is_new else 'the old'} generation is served: {text}")
    if seen["hit"] and code != 0:
        problems = message_lacks(text, number, failed)
        if problems:
            raise Failed(f"{what}: exit {code}, and the message {problems}: {tail(text)}")
    harmless = code == 0 and seen["hit"]
    # The record of how a run went is written in its own place where the disk is full; a run does its work without it, and says so.
    is_for_status = short.startswith("site/state") and (ended_well(site) or "will not know how" in text)
    if harmless and not is_for_status and not any(re.search(p, pattern(call, short)) for p in HARMLESS):
        raise Failed(f"{what}: exit 0, though this is nothing that a run can do without")
    scenario.check_next(site, is_new, what)
    return code, pattern(call, short) if harmless else None


def ended_well(site):
    """Whether the record of attempts knows that the run ended, and how."""
    if not os.path.exists(site.at("state/attempts.json")):
        return False
    with open(site.at("state/attempts.json")) as file:
        attempt = json.load(file)["attempts"]["run"]
    return attempt["ended"] is not None and attempt["ended"]["exit-code"] == 0


def tail(text):
    lines = [line for line in text.splitlines() if "step:" not in line]
    return "\n".join(lines[-8:])


def message_lacks(text, number, failed):
    """A message has to name the cause and a file that failed, or what that file is for."""
    said = os.strerror(number)
    if said not in text:
        return f"does not say {said!r}"
    for path in failed:
        # rsync names files relative to what it copies.
        places = (path, os.path.dirname(path), re.sub(r"/\.aptmerge-tmp-[^/]*", "", path))
        if any(place and place in text for place in places) or os.path.basename(path) in text:
            return None
    # Of a long line of rsync's the middle is left out, and with it the name.
    if "rsync: [" in text and "\u2026" in text:
        return None
    return f"names none of {shown(failed)}"


def pattern(call, short):
    short = re.sub(r"[0-9a-f]{64}", "HASH", short)
    short = re.sub(r"\.aptmerge-tmp-\w+", "TMP", short)
    short = re.sub(r"objects/[0-9a-f]{2}", "objects/xx", short)
    return f"{call} {short}"


def run(bench, chosen):
    for scenario in chosen(bench):
        start = time.monotonic()
        items = []
        for at, (code_name, kind, names, looks) in enumerate(KINDS):
            total, around = count(scenario, names, looks)
            if total == 0:
                continue
            chance = random.Random(f"{bench.options.seed} {scenario.name} {at}")
            points = min(bench.options.points, total)
            for part in range(points):
                nth = 1 + int((part + chance.random()) * total / points) if points < total else part + 1
                # A full disk stays full; an error of the medium may be a single one.
                items.append((code_name, kind, names, looks, nth, code_name != "EIO" and part % 2 == 0))
            if names == SYNC:
                items += [(code_name, kind, names, looks, nth, False) for nth in around]
        codes, harmless = collections.Counter(), collections.Counter()
        for _, (code, where) in bench.each(lambda item, path: one(scenario, item, path), items):
            codes[code] += 1
            if where:
                harmless[where] += 1
        told = ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))
        print(f"errors {scenario.name} ({scenario.describe}): {len(items)} faults of {len(KINDS)} kinds: {told}; "
              f"{time.monotonic() - start:.0f} s", flush=True)
        for where, times in sorted(harmless.items()):
            print(f"  no error of the run: {where} ({times})", flush=True)
