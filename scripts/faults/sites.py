"""A site in a directory of its own: the fixture archives, keys, a configuration, and the program to run on them."""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.dirname(os.path.dirname(HERE))
ARCHIVES = os.path.join(HOME, "fixtures/archives")
FIRST, SECOND, THIRD = (f"2026-02-0{n}T00:00:00Z" for n in (1, 2, 3))
TEMPORARY = ".aptmerge-tmp-"

TWO_SUITES = {
    "daedalus": 'from = { overlay = "daedalus", main = "bookworm" }\nlinks = ["stable"]',
    "daedalus-security": 'from = { overlay = "daedalus-security", security = "bookworm-security" }',
}
ALL_SUITES = {
    **TWO_SUITES,
    "daedalus-updates": 'from = { main = "bookworm-updates" }',
    "beowulf": 'from = { overlay = "beowulf", main = "buster" }\ncomponents = ["main", "contrib", "non-free"]',
    "beowulf/updates": 'from = { overlay = "beowulf-security", security = "buster/updates" }\n'
                       'components = ["main", "contrib", "non-free"]\nlinks = ["oldstable/updates"]',
}


class Failed(Exception):
    """A promise was not kept."""


def work_dir(where=None):
    """A directory to work in: in memory where there is such a place."""
    if where is None and os.access("/dev/shm", os.W_OK):
        where = "/dev/shm"
    return tempfile.mkdtemp(prefix="aptmerge-faults-", dir=where)


def copy_keys(to):
    shutil.copytree(os.path.join(HOME, "fixtures/keys"), to)
    for key in glob.glob(os.path.join(to, "*")):
        os.chmod(key, 0o600)


class Overlay:
    """A copy of the overlay archive in which `overlay-only` can be raised to any version, signed anew each time."""

    INDEX = "main/binary-amd64/Packages"

    def __init__(self, path, keys):
        self.path, self.home = path, path + "-gnupg"
        shutil.copytree(os.path.join(ARCHIVES, "overlay"), path)
        os.mkdir(self.home, 0o700)
        self._gpg(["--import", os.path.join(keys, "overlay.secret.asc")])
        self.suite = os.path.join(path, "dists/daedalus")
        with open(os.path.join(self.suite, self.INDEX)) as file:
            self.text = file.read()
        with open(os.path.join(self.suite, "Release")) as file:
            self.release = file.read()

    def _gpg(self, arguments, text=None):
        command = ["gpg", "--homedir", self.home, "--batch", "--yes", "--quiet", "--faked-system-time", "20260102T000000"]
        done = subprocess.run(command + arguments, input=text, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"gpg: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def raise_to(self, version, minute=0):
        """`minute` makes the Date of its Release, counted from the second of January 2026."""
        old = "Package: overlay-only\nVersion: 1.0\n"
        assert old in self.text
        text = self.text.replace(old, f"Package: overlay-only\nVersion: {version}\n").encode()
        date = f"{2 + minute // 1440:02} Jan 2026 {minute // 60 % 24:02}:{minute % 60:02}:00 UTC"
        lines = []
        for line in self.release.splitlines():
            path = line.split(" ")[-1]
            if path == self.INDEX:
                if len(line.split()[0]) == 64:
                    lines.append(f" {hashlib.sha256(text).hexdigest()} {len(text)} {path}")
            elif line.startswith("Date:"):
                lines.append("Date: Fri, " + date)
            elif not path.startswith(self.INDEX):
                lines.append(line)
        release = ("\n".join(lines) + "\n").encode()
        signed = self._gpg(["--digest-algo", "SHA512", "--clearsign"], release)
        for name in glob.glob(os.path.join(self.suite, self.INDEX) + ".*"):
            os.unlink(name)
        for name in ("Release", "Release.gpg"):
            if os.path.exists(os.path.join(self.suite, name)):
                os.unlink(os.path.join(self.suite, name))
        # In an order in which nobody finds a Release without its index.
        replace(os.path.join(self.suite, self.INDEX), text)
        replace(os.path.join(self.suite, "InRelease"), signed)

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False, capture_output=True)


def replace(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


class Site:
    """One site: `path/site` is its root."""

    def __init__(self, path, program, keys):
        self.path, self.program, self.keys = path, program, keys
        self.overlay = os.path.join(ARCHIVES, "overlay")
        self.suites, self.architectures = TWO_SUITES, ["all", "amd64"]
        self.banned, self.extra = ["systemd", "systemd-sysv"], ""
        os.makedirs(path, exist_ok=True)

    @property
    def root(self):
        return os.path.join(self.path, "site")

    @property
    def config(self):
        return os.path.join(self.path, "aptmerge.toml")

    @property
    def target(self):
        return os.path.join(self.path, "target")

    def at(self, *names):
        return os.path.join(self.root, *names)

    def write_config(self, push=False):
        quoted = lambda names: ", ".join(f'"{name}"' for name in names)
        text = f"""root = "site"
priority = ["overlay", "security", "main"]
components = ["main", "contrib", "non-free", "non-free-firmware"]
architectures = [{quoted(self.architectures)}]
"""
        for name, path in (("overlay", self.overlay), ("security", f"{ARCHIVES}/security"), ("main", f"{ARCHIVES}/main")):
            text += (f'[archives.{name}]\npool = "{name.upper()}"\nuris = ["file://{path}"]\n'
                     f'signed-by = "{self.keys}/{name}.gpg"\n')
        for name, table in self.suites.items():
            text += f'[suites."{name}"]\n{table}\n'
        text += f"[bans]\npackages = [{quoted(self.banned)}]\n[signing]\n"
        text += f'key-file = ["{self.keys}/publish-a.secret.asc", "{self.keys}/publish-b.secret.asc"]\n'
        if push:
            text += f'[[push]]\nname = "near"\nrsync = "{self.target}"\n'
        self.push = push
        with open(self.config, "w") as file:
            file.write(text + self.extra)

    def copy(self, path):
        subprocess.run(["cp", "-a", self.path, path], check=True)
        other = Site(path, self.program, self.keys)
        for name in ("overlay", "suites", "architectures", "banned", "extra"):
            setattr(other, name, getattr(self, name))
        other.write_config(self.push)
        return other

    def command(self, *arguments):
        return [self.program, "--config", self.config, *arguments]

    def run_command(self, clock):
        return self.command("run", "-v", "--lock-wait", "60", "--clock", clock)

    def call(self, *arguments, timeout=120):
        environment = {k: v for k, v in os.environ.items() if k != "APTMERGE_CONFIG"}
        return subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=timeout, env=environment, check=False)

    def expect(self, code, *arguments):
        done = self.call(*arguments)
        if done.returncode != code:
            raise Failed(f"{arguments}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def served(self):
        """Where the link leads, and what is there."""
        try:
            tree = os.readlink(self.at("merged"))
        except FileNotFoundError:
            return None, {}
        return tree, contents(self.at(tree))

    def litter(self):
        found = []
        for top in (self.root, self.target):
            for directory, directories, files in os.walk(top):
                found += [os.path.join(directory, n) for n in directories + files if TEMPORARY in n]
                # A directory that rsync could not remove may stay; it is empty, and used again.
                found += [os.path.join(directory, n) for n in files if ".~tmp~" in directory]
        if os.path.exists(self.at("state/staged.json")):
            found.append(self.at("state/staged.json"))
        return found


SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"


def unsigned(name, data):
    """A signature has a salt in it and differs each time: `aptmerge verify` looks at those."""
    base = os.path.basename(name)
    return data.split(SIGNATURE)[0] if base in ("InRelease", "Release.gpg") else data


def by_suite(found):
    """The files of a tree, suite by suite; what lies beside the suites stands under an empty name."""
    suites = sorted((os.path.dirname(path) for path in found if os.path.basename(path) == "InRelease"), key=len)
    parts = {}
    for path, data in found.items():
        owner = [suite for suite in suites if path.startswith(suite + "/")]
        parts.setdefault(owner[-1] if owner else "", {})[path] = data
    return parts


def contents(tree):
    """Every file below a tree's `dists`, with its bytes but for signatures; symlinks by where they lead."""
    found = {}
    for directory, directories, files in os.walk(os.path.join(tree, "dists")):
        for name in files + [d for d in directories if os.path.islink(os.path.join(directory, d))]:
            path = os.path.join(directory, name)
            short = os.path.relpath(path, tree)
            if os.path.islink(path):
                found[short] = b"-> " + os.fsencode(os.readlink(path))
            else:
                with open(path, "rb") as file:
                    found[short] = unsigned(name, file.read())
    return found


def differing(a, b):
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))


def shown(names, most=6):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def history_is_whole(site):
    """The history has one line for each generation."""
    with open(site.at("log/amprolla.txt")) as file:
        numbers = [int(n) for n in re.findall(r",generation (\d+),", file.read())]
    return numbers == list(range(1, len(numbers) + 1))
