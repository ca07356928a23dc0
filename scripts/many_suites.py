"""A site of many small suites of one archive, for bench: one of them changes, and the others stay."""

import gzip
import lzma
import re
import shutil

import yardstick

corpus = yardstick.load_script("corpus")


def make(source, directory, count, key):
    """Makes an archive of suites `s0`, `s1`, …: copies of the suite in `source`, each signed with the secret key in `key`."""
    for number in range(count):
        suite = directory / "dists" / f"s{number}"
        for path in sorted(source.rglob("*.[gx]z")):
            if path.name.split(".")[0] in ("Packages", "Sources"):
                target = suite / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        (suite / "Release").write_text(yardstick.release_of(source))
        yardstick.sign(suite, suite.name, key)


def change(suite, number, key):
    """Gives every package of a suite the version `NUMBER` at the end of its own."""
    for path in sorted(suite.rglob("*.[gx]z")):
        is_gz = path.suffix == ".gz"
        text = (gzip.decompress if is_gz else lzma.decompress)(path.read_bytes()).decode()
        text = re.sub(r"^(Version: .*?)(?:\+n\d+)?$", rf"\1+n{number}", text, flags=re.M)
        corpus.write(path, (gzip.compress if is_gz else lzma.compress)(text.encode()))
    yardstick.date_later(suite)
    yardstick.sign(suite, suite.name, key)


def configuration(root, archive, keys, count):
    """The text of a configuration with so many suites."""
    suites = "".join(f'\n[suites.s{n}]\nfrom = {{ many = "s{n}" }}\nrelease = {{ Suite = "s{n}", Codename = "s{n}" }}\n' for n in range(count))
    return f"""\
root = "{root}/root"
lock = "{root}/aptmerge.lock"
priority = ["many"]
components = ["main"]
architectures = ["all", "amd64"]
indices = ["packages", "sources"]

[archives.many]
pool = "MANY"
uris = ["file://{archive}"]
signed-by = "{keys}/overlay.gpg"
check-valid-until = false
{suites}
[signing]
key-file = "{keys}/publish.secret.asc"
"""
