"""Archives with more architectures than a corpus has, for bench: copies of what is there, under another name."""

import gzip
import lzma
import re
import shutil

import yardstick

# Architecture of a corpus -> the one that is made of it.
DERIVED = {"amd64": "i386", "arm64": "armhf"}


def make(archives, directory, key):
    """Copies the archives (name -> path) below `directory`, with further architectures; signs them with the secret key in `key`."""
    for archive, root in archives.items():
        for release in sorted(root.resolve().glob("dists/*/InRelease")):
            suite = directory / archive / "dists" / release.parent.name
            for path in sorted(release.parent.rglob("*")):
                if path.name.split(".")[0] not in ("Packages", "Sources") or path.suffix not in (".gz", ".xz"):
                    continue
                target = suite / path.relative_to(release.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                arch = path.parent.name.removeprefix("binary-")
                if arch in DERIVED:
                    unpack = gzip.decompress if path.suffix == ".gz" else lzma.decompress
                    derived = target.parent.with_name(f"binary-{DERIVED[arch]}") / "Packages.gz"
                    yardstick.write_gz(derived, as_architecture(unpack(path.read_bytes()).decode(), arch, DERIVED[arch]))
            text = yardstick.release_of(release.parent)
            listed = re.search(r"^Architectures: (.*)$", text, re.M).group(1).split()
            known = " ".join(dict.fromkeys([*listed, *DERIVED.values()]))
            (suite / "Release").write_text(re.sub(r"^Architectures: .*$", f"Architectures: {known}", text, count=1, flags=re.M))
            yardstick.sign(suite, release.parent.name, key)


def as_architecture(text, old, new):
    return re.sub(rf"^Architecture: {old}$|_{old}(?=\.u?deb$)", lambda found: found.group().replace(old, new), text, flags=re.M)
