"""A copy of a corpus whose base can change, for bench: Debian's signature cannot be kept, so the copy is signed with a key of the corpus."""

import gzip
import hashlib
import lzma
import random
import re
import shutil

import yardstick

corpus = yardstick.load_script("corpus")


def make(archives, directory, key):
    """Copies Packages and Sources of the archives (name -> path) below `directory`, and signs them with the secret key in `key`."""
    for archive, root in archives.items():
        for release in sorted(root.resolve().glob("dists/*/InRelease")):
            suite = directory / archive / "dists" / release.parent.name
            for path in sorted(release.parent.rglob("*")):
                if path.name.split(".")[0] in ("Packages", "Sources") and path.suffix in (".gz", ".xz"):
                    target = suite / path.relative_to(release.parent)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            (suite / "Release").write_text(yardstick.release_of(release.parent))
            yardstick.sign(suite, release.parent.name, key)


def raise_sources(suite, count, key, seed):
    """Raises `count` sources of a suite, with all their binaries, and signs it anew."""
    indices = {path: corpus.stanzas(read(path)) for path in sorted(suite.rglob("*.[gx]z"))}
    names = sorted({corpus.field(stanza, "Package") for path, found in indices.items() if path.name.startswith("Sources") for stanza in found})
    chosen = set(random.Random(seed).sample(names, count))
    for path, found in indices.items():
        is_source = path.name.startswith("Sources")
        def is_chosen(stanza):
            return (corpus.field(stanza, "Package") if is_source else corpus.source_of(stanza)[0]) in chosen
        changed = [raised(stanza) if is_chosen(stanza) else stanza for stanza in found]
        if changed != found:
            pack = gzip.compress if path.suffix == ".gz" else lzma.compress
            corpus.write(path, pack(corpus.joined(changed)))
    yardstick.date_later(suite)
    yardstick.sign(suite, suite.name, key)


def read(path):
    data = path.read_bytes()
    return (gzip.decompress if path.suffix == ".gz" else lzma.decompress)(data).decode("utf-8", "surrogateescape")


def raised(stanza):
    """The stanza with a higher version, and other hashes: there is no such package."""
    old = corpus.field(stanza, "Version")
    new = f"{old}+1"
    stanza = corpus.replace(stanza, "Version", new)
    if corpus.field(stanza, "Source") and (named := re.search(r"\((\S+)\)", corpus.field(stanza, "Source"))):
        stanza = corpus.replace(stanza, "Source", corpus.field(stanza, "Source").replace(named.group(1), f"{named.group(1)}+1"))
    before, after = f"_{corpus.without_epoch(old)}", f"_{corpus.without_epoch(new)}"
    stanza = re.sub(rf"{re.escape(before)}(?=[._])", lambda _: after, stanza)
    return re.sub(r"\b[0-9a-f]{32}(?:[0-9a-f]{32})?\b(?=$| )", lambda found: hashed(found.group(), new), stanza, flags=re.M)


def hashed(old, new):
    return hashlib.sha256(f"{old} {new}".encode()).hexdigest()[:len(old)]
