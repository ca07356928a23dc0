"""What compare-amprolla and bench share: a corpus to work on, amprolla laid out on it, ours, and the measuring of processes.

amprolla is a checkout somewhere else: it is copied into a temporary place of its own, configured there and run; nothing of
it is part of this project. Its configuration is its own default with our values after it.
"""

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).resolve().parent
TOP = SCRIPTS.parent


def load_script(name):
    """The module in scripts/NAME, which has no suffix."""
    loader = SourceFileLoader(name, str(SCRIPTS / name))
    module = module_from_spec(spec_from_loader(name, loader))
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def corpus_in(directory):
    """The corpus, made by scripts/corpus if it is not there."""
    directory = directory.resolve()
    if not (directory / "aptmerge.toml").exists():
        subprocess.run([SCRIPTS / "corpus", directory], check=True)
    return directory


def release_binary(given):
    """The binary to run: the one that is given, or a release build of this checkout."""
    if given is None:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=TOP, check=True)
        given = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "release/aptmerge"
    given = given.resolve()
    if not os.access(given, os.X_OK):
        sys.exit(f"{given}: not a program that can be run; build it, or name another with --binary")
    return given


class Measured(NamedTuple):
    """One process that has ended: seconds of wall and CPU (with its children), peak resident KiB of the largest process."""

    status: int
    wall: float
    cpu: float
    peak_kib: int


# A process inherits the peak of what it was started from, so it is started from something small: the least that can be told
# is what an empty Python has, some 10 MiB. Arguments: the descriptor to report to, then the command.
STARTER = """
import json, os, sys, time
start = time.monotonic()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
figures = os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
os.write(int(sys.argv[1]), json.dumps(figures).encode())
"""


def measured(command, log, **more):
    """Runs a command with its output in `log`; ends this script if its exit status is not 0."""
    reader, writer = os.pipe()
    starter = [sys.executable, "-I", "-S", "-B", "-c", STARTER, str(writer)]
    with open(log, "wb") as output, open(reader, "rb") as report:
        done = subprocess.Popen([*starter, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                pass_fds=[writer], **more)
        os.close(writer)
        figures = report.read()
        done.wait()
    run = Measured(*json.loads(figures)) if figures else None
    if run is None or run.status != 0:
        tail = Path(log).read_text(errors="replace")[-2000:]
        sys.exit(f"{' '.join(map(str, command))}: {f'exit status {run.status}' if run else 'it could not be started'}\n{tail}")
    return run


def date_later(suite):
    """Gives a suite's Release a later Date than it has; `sign` keeps it."""
    text = release_of(suite)
    before = parsedate_to_datetime(re.search(r"^Date: (.*)$", text, re.M).group(1)).timestamp()
    date = formatdate(max(int(time.time()), int(before) + 1)).replace("-0000", "UTC")
    (suite / "Release").write_text(re.sub(r"^Date: .*$", f"Date: {date}", text, count=1, flags=re.M))


def sign(suite, name, key):
    """Writes a suite's Release anew and signs it: the same head, for the suite of this name, and its compressed indices as they are."""
    scripts_corpus = load_script("corpus")
    head = re.split(r"^(?:MD5Sum|SHA256):\n", release_of(suite), flags=re.M)[0]
    head = re.sub(r"\A-----BEGIN PGP SIGNED MESSAGE-----\n(?:.+\n)*\n", "", head)
    if name not in head:
        head = re.sub(r"^(Suite|Codename): .*$", rf"\1: {name}", head, flags=re.M)
    listed = {}
    for path in sorted(path for path in suite.rglob("*") if path.suffix in (".gz", ".xz")):
        data, relative = path.read_bytes(), str(path.relative_to(suite))
        listed[relative] = data
        listed[relative[:-3]] = gzip.decompress(data) if path.suffix == ".gz" else lzma.decompress(data)
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data):8} {path}\n" for path, data in sorted(listed.items())]
    release = f"{head}SHA256:\n{''.join(lines)}".encode()
    with scripts_corpus.Gpg() as gpg:
        gpg("--import", key)
        scripts_corpus.write(suite / "Release", release)
        scripts_corpus.write(suite / "Release.gpg", gpg("--armor", "--detach-sign", data=release))
        scripts_corpus.write(suite / "InRelease", gpg("--clearsign", data=release))


# ---------------------------------------------------------------------------------------------- ours


def our_configuration(text, work, bans=None, indices=None, architectures=None, overlay=None):
    """The corpus's configuration with root and lock in `work`, and what else is given in place of its own."""
    def put(pattern, line):
        nonlocal text
        text, count = re.subn(pattern, lambda _: line, text, count=1, flags=re.M)
        if count != 1:
            sys.exit(f"the corpus's aptmerge.toml has no line like {pattern}: make the corpus anew with scripts/corpus")

    put(r"^root = .*$", f'root = "{work}/root"')
    put(r"^lock = .*$", f'lock = "{work}/aptmerge.lock"')
    if bans is not None:
        put(r"^packages = .*$", f"packages = {strings(bans)}")
    if indices is not None:
        put(r"^indices = .*$", f"indices = {strings(indices)}")
        # An archive may narrow the list, but not name what the whole does not have.
        def narrowed(match):
            kept = [name for name in re.findall(r'"([^"]+)"', match.group(1)) if name in indices]
            return f"indices = {strings(kept)}"
        text = re.sub(r"^indices = \[(.*)\]$", narrowed, text, flags=re.M)
    if architectures is not None:
        put(r"^architectures = .*$", f"architectures = {strings(['all', *architectures])}")
    if overlay is not None:
        put(r'^uris = \["file://[^"]*/overlay"\]$', f'uris = ["file://{overlay}"]')
    return text


def strings(items):
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


# ---------------------------------------------------------------------------------------------- amprolla


class Amprolla:
    """A copy of amprolla with a spool made of the inputs of one of our configurations."""

    def __init__(self, checkout, work, configuration):
        """`configuration` is the text of ours: both are run on the same archives, suites, components and bans."""
        if not (checkout / "amprolla_merge.py").exists():
            sys.exit(f"{checkout}: no amprolla_merge.py there; give the path of a checkout of amprolla3")
        self.work, self.ours = work, tomllib.loads(configuration)
        self.order = self.ours["priority"]
        if self.order[0] != "devuan":
            # Its code takes the head of Release from the archive of this name, and writes below the first one's.
            sys.exit("amprolla wants its first archive to be called devuan")
        self.code, self.spool, self.merged = work / "code", work / "spool", work / "merged"
        self.home = work / "gnupg"
        shutil.rmtree(self.code, ignore_errors=True)
        shutil.copytree(checkout, self.code, ignore=shutil.ignore_patterns(".git", "config.py", "__pycache__"))
        for directory in (self.spool, self.merged, work / "log"):
            directory.mkdir(parents=True, exist_ok=True)

    def archive_directory(self, archive):
        uri = self.ours["archives"][archive]["uris"][0]
        if not uri.startswith("file://"):
            sys.exit(f"archives.{archive}: {uri} is not a local archive")
        return Path(uri.removeprefix("file://"))

    def upstream(self, archive, suite):
        """Where the suite's indices are that the archive gives to a merged suite; None if it has no part in it."""
        name = self.ours["suites"][suite]["from"].get(archive)
        return name and self.archive_directory(archive) / "dists" / name

    def spooled(self, archive, suite):
        # The first archive has our suites' own names, whatever it is called upstream: amprolla knows no other name for it.
        name = suite if archive == self.order[0] else self.ours["suites"][suite]["from"].get(archive)
        return name and self.spool / archive / "dists" / name

    def lay_out(self, contents=True):
        """Fills the spool: what is xz upstream as gz, what is gz as it is. Returns notes on what is not as upstream has it."""
        jobs, notes = {}, []
        for suite in self.ours["suites"]:
            for archive in self.order:
                source, target = self.upstream(archive, suite), self.spooled(archive, suite)
                if source and target:
                    jobs.setdefault(target, (source, archive))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for target, (source, archive) in jobs.items():
                paths = list(self.index_paths(archive, contents))
                found = list(pool.map(lambda path: spool_file(source, target, path), paths))
                notes += self.make_all(source, target)
                listed = listed_sizes(source)
                notes += [f"{source}: {path.removesuffix('.gz')} is listed, but not in the corpus" for path, there in zip(paths, found)
                          if not there and listed.get(path.removesuffix(".gz")) and not (target / path).exists()]
                self.write_release(source, target)
        return notes

    def index_paths(self, archive, contents):
        """What the merge is to have of an archive: the indices that the configuration allows it."""
        families = self.ours["archives"][archive].get("indices", self.ours["indices"])
        for component in self.ours["components"]:
            yield f"{component}/source/Sources.gz"
            for arch in self.ours["architectures"]:
                yield f"{component}/binary-{arch}/Packages.gz"
                if "installer" in families:
                    yield f"{component}/debian-installer/binary-{arch}/Packages.gz"
                if contents and "contents" in families:
                    yield f"{component}/Contents-{arch}.gz"

    def make_all(self, source, target):
        """Where a corpus could not get a binary-all that its Release lists, it is what the other indices have of it."""
        notes = []
        for component in self.ours["components"]:
            path = target / component / "binary-all/Packages.gz"
            made_up = path.with_name(".made-up")
            others = [path.parent.parent / f"binary-{arch}/Packages.gz" for arch in self.ours["architectures"] if arch != "all"]
            if (path.exists() and not made_up.exists()) or not any(other.exists() for other in others):
                continue
            found = {}
            for other in others:
                for stanza in read_gz(other).split("\n\n"):
                    if re.search(r"^Architecture: all$", stanza, re.M):
                        found.setdefault(re.search(r"^Package: .*\n(?:.*\n)*?Version: .*$", stanza, re.M).group(), stanza.strip("\n"))
            write_gz(path, "".join(f"{stanza}\n\n" for _, stanza in sorted(found.items())))
            made_up.touch()
            notes.append(f"{source}: {component}/binary-all/Packages is not in the corpus; it was made of the other indices")
        return notes

    def write_release(self, source, target):
        # It reads a head that ends with MD5Sum, one line a field, and nothing of the rest: without that line it fails.
        head = []
        for line in release_of(source).splitlines():
            if re.match(r"(MD5Sum|SHA1|SHA256|SHA512):", line):
                break
            if re.match(r"[A-Z][A-Za-z-]*: ", line) and not line.startswith("Hash: "):
                head.append(line)
        (target / "Release").write_text("\n".join([*head, "MD5Sum:", "SHA256:", ""]))

    def configure(self, key, architectures=None):
        """Writes its configuration; `key` is a file with the secret key that it signs with."""
        ours = self.ours
        if self.home.exists():
            self.close()
            shutil.rmtree(self.home)
        self.home.mkdir(mode=0o700, parents=True)
        self.gpg("--import", key)
        listed = self.gpg("--list-secret-keys", "--with-colons").stdout
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        repos = {
            archive: {"name": ours["archives"][archive]["pool"], "host": "http://archive.example", "dists": f"{archive}/dists",
                      "pool": f"{archive}/pool", "aliases": archive != self.order[0], "skipmissing": archive != self.order[0]}
            for archive in self.order}
        aliases = {
            ours["archives"][archive]["pool"]: {
                suite: table["from"][archive] for suite, table in ours["suites"].items() if archive in table["from"]}
            for archive in self.order}
        values = {
            "cpunm": os.cpu_count(), "logdir": str(self.work / "log"), "spooldir": str(self.spool), "gpgdir": str(self.home),
            "signingkey": fingerprint, "signrelease": True, "mergedir": str(self.merged), "mergesubdir": "dists",
            "lockpath": str(self.work / "lock"), "banpkgs": set(ours["bans"]["packages"]), "repo_order": self.order, "skips": [],
            "repos": repos, "suites": {"all": list(ours["suites"])}, "aliases": aliases, "release_aliases": {},
            "categories": ours["components"],
            "arches": ["source", *(f"binary-{arch}" for arch in architectures or ours["architectures"])]}
        lines = ["from os.path import dirname, join", "exec(open(join(dirname(__file__), 'config.def.py')).read())"]
        lines += [f"{name} = {value!r}" for name, value in values.items()]
        (self.code / "lib/config.py").write_text("\n".join(lines) + "\n")

    def gpg(self, *arguments):
        return subprocess.run(["gpg", "--homedir", self.home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "",
                               *arguments], capture_output=True, text=True, check=True)

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)

    def fresh(self):
        """As before the first merge."""
        shutil.rmtree(self.merged, ignore_errors=True)
        shutil.rmtree(self.work / "log", ignore_errors=True)
        (self.work / "lock").unlink(missing_ok=True)

    def run(self, script="amprolla_merge.py"):
        # Its lock file stays after a failure; here nobody else runs.
        (self.work / "lock").unlink(missing_ok=True)
        return measured([sys.executable, "-B", self.code / script], self.work / f"{script}.log", cwd=self.code)

    def merged_index(self, suite, path):
        """The path of a merged index."""
        return self.merged / "dists" / suite / f"{path}.gz"


def release_of(suite):
    """The text of a suite's Release, or of what stands in its place."""
    return next(path for path in (suite / "Release", suite / "InRelease") if path.exists()).read_text()


def listed_sizes(suite):
    """Path -> size, of all that the suite's Release lists."""
    return {path: int(size) for size, path in re.findall(r"^ [0-9a-f]{64} +(\d+) (\S+)$", release_of(suite), re.M)}


def spool_file(source, target, path):
    """Brings one index into the spool, if it is not there in its present state; False where the archive has none."""
    plain, file = source / path.removesuffix(".gz"), target / path
    candidates = [plain.with_name(f"{plain.name}{ending}") for ending in (".gz", ".xz")]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    if found is None:
        if not file.with_name(".made-up").exists():
            file.unlink(missing_ok=True)
        return False
    stamp = found.stat().st_mtime_ns
    if not file.exists() or file.stat().st_mtime_ns != stamp:
        file.parent.mkdir(parents=True, exist_ok=True)
        if found.suffix == ".gz":
            shutil.copyfile(found, file)
        else:
            write_gz(file, lzma.decompress(found.read_bytes()).decode())
        os.utime(file, ns=(stamp, stamp))
    return True


def read_gz(path):
    """The text of a .gz file; empty if there is none."""
    return gzip.decompress(path.read_bytes()).decode("utf-8", "surrogateescape") if path.exists() else ""


def write_gz(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode("utf-8", "surrogateescape"), 6, mtime=0))
