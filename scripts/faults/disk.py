"""A file system that is too small: a run that fills it up, at every size from nothing to enough.

Needs the right to mount a tmpfs; says so where there is none.
"""

import os
import re
import subprocess
import sys
import time

from sites import FIRST, SECOND, THIRD, Failed, Site, contents, shown


def mount(path, size):
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=755", "tmpfs", path], capture_output=True, text=True,
                          check=False)
    return done.stderr.strip() if done.returncode else None


def one(bench, size, full, old, new, overlay):
    """A run on a file system of so many KiB, which has room again afterwards. Gives the exit code."""
    path = os.path.join(bench.dir, f"disk-{size}")
    site = bench.base(f"disk-{size}")
    mounted = os.path.join(path, "site")
    refused = mount(mounted, full)
    if refused:
        return None, refused
    try:
        site.expect(0, "run", "--clock", FIRST)
        if contents(site.at("merged")) != old:
            raise Failed("the same run published something else")
        subprocess.run(["mount", "-o", f"remount,size={size}k", mounted], check=True, capture_output=True)
        site.overlay = overlay
        site.write_config()
        done = site.call("run", "-v", "--clock", SECOND)
        what = f"disk of {size} KiB: exit {done.returncode}"
        served = site.served()[1]
        is_new = served == new
        if not is_new and served != old:
            raise Failed(f"{what}: what is served is neither old nor new")
        if (done.returncode, is_new) not in ((0, True), (1, False), (4, True)) or "panicked" in done.stderr:
            raise Failed(f"{what}, {'new' if is_new else 'old'} served: {done.stderr}")
        if done.returncode and not re.search(r"No space left on device", done.stderr) or \
                done.returncode == 1 and ("hint: free some room" not in done.stderr or mounted not in done.stderr):
            raise Failed(f"{what}: the message does not say what to do: {done.stderr}")
        subprocess.run(["mount", "-o", f"remount,size={full}k", mounted], check=True, capture_output=True)
        site.expect(0, "run", "--clock", THIRD)
        site.expect(0, "verify", "--clock", THIRD)
        if site.litter():
            raise Failed(f"{what}: left {shown(site.litter())}")
        return done.returncode, None
    finally:
        subprocess.run(["umount", "-l", mounted], check=False, capture_output=True)


def run(bench):
    start = time.monotonic()
    plain = bench.base("disk")
    plain.expect(0, "run", "--clock", FIRST)
    old = plain.served()[1]
    used = int(subprocess.run(["du", "-sk", plain.root], capture_output=True, text=True, check=True).stdout.split()[0])
    overlay = plain.overlay = bench.raised_overlay()
    plain.write_config()
    plain.expect(0, "run", "--clock", SECOND)
    new = plain.served()[1]
    sizes = sorted({used + room * 4 for room in range(0, 160, max(1, 160 // bench.options.points))})
    codes = {}
    for size in sizes:
        try:
            code, refused = one(bench, size, used * 4 + 20000, old, new, overlay)
        except Failed as failure:
            bench.failures.append(str(failure))
            print(f"FAILED {failure}", file=sys.stderr)
            continue
        if refused:
            print(f"skipped: no tmpfs can be mounted here: {refused}", file=sys.stderr)
            return
        codes[code] = codes.get(code, 0) + 1
    told = ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))
    print(f"disk: {len(sizes)} sizes from {sizes[0]} to {sizes[-1]} KiB: {told}; {time.monotonic() - start:.0f} s")
