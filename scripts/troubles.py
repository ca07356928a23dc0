"""Troubles for compare-amprolla: what real archives have now and then, added to a copy of a corpus's overlay."""

import gzip
import lzma
import re
import shutil

import yardstick

# Another archive, the lowest, and a suite that is merged of all: elsewhere -security is without Debian, the rest without -security.
MORE_ARCHIVES = """
[archives.extra]
pool = "EXTRA"
uris = ["file://{extra}"]
signed-by = "{key}"
check-valid-until = false
indices = ["packages", "sources"]

[suites.daedalus-four]
from = {{ devuan = "daedalus-security", debian-security = "bookworm-security", debian = "bookworm-updates", extra = "four" }}
release = {{ Origin = "Devuan", Label = "Devuan", Suite = "oldstable-four", Codename = "daedalus-four", Version = "5.0" }}
"""

# One binary and its source in two versions.
TWICE = "dbus"
# A source that the overlay did not build for the last architecture, so that the archive below provides its binaries there.
LACKING = "policykit-1"
# Dependencies on a banned package in other spellings, of packages that no other archive has.
SPELLINGS = {"spelled-any": "libc6, systemd:any", "spelled-tight": "libc6,systemd(>= 1)", "spelled-tight-any": "systemd:any,libc6"}

# A package of the archive below, in non-free there, that the overlay has in contrib.
CROSSED = "unrar"


def configuration(text, corpus, work):
    """Our configuration with the troubles' archive and suite."""
    text = re.sub(r"^(priority = .*)\]$", r'\1, "extra"]', text, flags=re.M)
    return text + MORE_ARCHIVES.format(extra=work / "extra", key=corpus / "keys/overlay.gpg")


def make(corpus, work):
    """Makes archives below `work`: a copy of the corpus's overlay with the troubles, and another one; signed with the corpus's key."""
    for archive in ("overlay", "extra"):
        shutil.rmtree(work / archive, ignore_errors=True)
    shutil.copytree(corpus / "overlay", work / "overlay")
    shutil.copytree(corpus / "overlay/dists/daedalus-updates", work / "extra/dists/four")
    scripts_corpus = yardstick.load_script("corpus")
    add_to_overlay(work / "overlay/dists/daedalus", scripts_corpus)
    fill_extra(work / "extra/dists/four", scripts_corpus)
    for suite, name in ((work / "overlay/dists/daedalus", "daedalus"), (work / "extra/dists/four", "four")):
        yardstick.sign(suite, name, corpus / "keys/overlay.secret.asc")


def add_to_overlay(suite, scripts_corpus):
    field, replace, source_of = scripts_corpus.field, scripts_corpus.replace, scripts_corpus.source_of
    binaries = sorted(path for path in suite.glob("main/binary-*/Packages.gz") if path.parent.name != "binary-all")
    for path in [*binaries, *suite.glob("main/source/Sources.gz")]:
        found = scripts_corpus.stanzas(yardstick.read_gz(path))
        if path == binaries[-1]:
            found = [stanza for stanza in found if source_of(stanza)[0] != LACKING or field(stanza, "Architecture") == "all"]
        twice = [stanza for stanza in found if field(stanza, "Package") == TWICE]
        found += [again(stanza, field, replace) for stanza in twice]
        if path.name == "Packages.gz":
            architecture = path.parent.name.removeprefix("binary-")
            found += [package(name, architecture, depends) for name, depends in SPELLINGS.items()]
        put(path, found, scripts_corpus)
    for path in suite.glob("contrib/binary-*/Packages.gz"):
        architecture = path.parent.name.removeprefix("binary-")
        if architecture != "all":
            put(path, [*scripts_corpus.stanzas(yardstick.read_gz(path)), package(CROSSED, architecture)], scripts_corpus)


def fill_extra(suite, scripts_corpus):
    for path in suite.glob("main/binary-*/Packages.gz"):
        architecture = path.parent.name.removeprefix("binary-")
        found = [package("extra-doc", "all")] + ([package("extra-tool", architecture)] if architecture != "all" else [])
        put(path, found, scripts_corpus)
    source = "Package: spelled\nBinary: extra-doc, extra-tool\nVersion: 1.0\nArchitecture: any all\nDirectory: pool/main/s/spelled"
    for path in suite.glob("main/source/Sources.gz"):
        put(path, [source], scripts_corpus)


def put(path, found, scripts_corpus):
    data = scripts_corpus.joined(found)
    scripts_corpus.write(path, gzip.compress(data, 6, mtime=0))
    scripts_corpus.write(path.with_suffix(".xz"), lzma.compress(data))


def again(stanza, field, replace):
    version = field(stanza, "Version")
    stanza = replace(stanza, "Version", f"{version}+again1")
    path = field(stanza, "Filename")
    return replace(stanza, "Filename", path.replace(".deb", "+again1.deb")) if path else stanza


def package(name, architecture, depends="libc6"):
    return (f"Package: {name}\nSource: spelled\nVersion: 1.0\nArchitecture: {architecture}\nMaintainer: nobody <nobody@archive.example>\n"
            f"Depends: {depends}\nFilename: pool/main/s/spelled/{name}_1.0_{architecture}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
            f"Description: made for a comparison")
