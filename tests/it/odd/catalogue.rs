//! An entry of the catalogue, and the comparison of apt's view of the archive with its view of the merged tree.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::archive::{Archive, PACKAGES, SOURCES};
use crate::common::apt::Apt;
use crate::common::programs::{Said, has};
use crate::common::site::Site;
use crate::common::web::Mirror;

/// The configuration of a site with this one archive.
const CONFIG: &str = r#"root = "site"
priority = ["odd"]
components = ["main"]
architectures = ["all", "amd64"]

[archives.odd]
pool = "ODD"
uris = ["@URI@"]
signed-by = "keys/main.gpg"

[suites.merged]
from = { odd = "odd" }
release = { Suite = "merged", Codename = "merged" }

[signing]
key-file = "keys/publish-a.secret.asc"

[fetch]
retries = 0
restarts = 0
backoff = "0 seconds"
"#;

/// The number of entries that are looked at side by side.
const SIDE_BY_SIDE: usize = 2;

/// One odd archive, and what becomes of it.
pub(crate) struct Entry {
    name: String,
    make: Box<dyn Fn(&mut Archive) + Sync>,
    /// The packages that apt reads, beside `good` and `last`; `None` if it refuses the archive.
    reads: Option<BTreeSet<String>>,
    /// The packages that apt reads and cannot download.
    not_got: BTreeSet<String>,
    /// The good packages that apt loses.
    lost: BTreeSet<String>,
    apt_words: Vec<String>,
    /// The packages that we publish, and apt does not read.
    publishes_more: BTreeSet<String>,
    ours: Ours,
}

/// Our part of an entry: how we publish the archive.
enum Ours {
    /// Publish what apt reads, but for these packages.
    Publish(BTreeSet<String>),
    /// Publish nothing.
    Refuse,
}

/// An entry that says what we make of it.
pub(crate) struct Judged {
    entry: Entry,
    words: Vec<String>,
}

fn all_of<C: FromIterator<String>>(words: &[&str]) -> C {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Begins an entry: an archive between `good` and `last`.
pub(crate) fn odd(name: impl Into<String>, make: impl Fn(&mut Archive) + Sync + 'static) -> Entry {
    Entry {
        name: name.into(),
        make: Box::new(make),
        reads: Some(BTreeSet::new()),
        not_got: BTreeSet::new(),
        lost: BTreeSet::new(),
        apt_words: Vec::new(),
        publishes_more: BTreeSet::new(),
        ours: Ours::Refuse,
    }
}

/// Begins an entry: the stanza of a package `odd`, in which one part is another.
pub(crate) fn stanza(name: &str, part: [&str; 2]) -> Entry {
    let part = part.map(str::to_owned);
    odd(name, move |archive| {
        let stanza = archive.binary("odd");
        assert!(stanza.contains(&part[0]), "{part:?}");
        archive.packages(stanza.replacen(&part[0], &part[1], 1));
    })
}

/// Begins an entry: the stanza of a source `odd`, in which one part is another.
pub(crate) fn source(name: &str, part: [&str; 2]) -> Entry {
    let part = part.map(str::to_owned);
    odd(name, move |archive| {
        let stanza = archive.source("odd");
        assert!(stanza.contains(&part[0]), "{part:?}");
        archive.sources(stanza.replacen(&part[0], &part[1], 1));
    })
}

impl Entry {
    /// Says what apt reads of the archive, beside `good` and `last`: `NAME VERSION`, or `src:NAME VERSION`.
    pub(crate) fn reads(mut self, packages: &[&str]) -> Entry {
        self.reads = Some(all_of(packages));
        self
    }

    /// Says that apt's update fails, with these words.
    pub(crate) fn apt_refuses(mut self, words: &[&str]) -> Entry {
        self.reads = None;
        self.apt_says(words)
    }

    /// Says that apt warns, with these words.
    pub(crate) fn apt_says(mut self, words: &[&str]) -> Entry {
        self.apt_words = all_of(words);
        self
    }

    /// Names what apt sees and cannot download.
    pub(crate) fn cannot_get(mut self, packages: &[&str]) -> Entry {
        self.not_got = all_of(packages);
        self
    }

    /// Names the good packages that apt does not see for the odd thing beside them, and that we publish.
    pub(crate) fn loses(mut self, packages: &[&str]) -> Entry {
        self.lost = all_of(packages);
        self
    }

    /// Says that we publish all that apt reads, and warn of nothing.
    pub(crate) fn passes(self) -> Judged {
        self.leaves_out(&[], &[])
    }

    /// Says that we publish all that apt reads, and warn with these words.
    pub(crate) fn passes_with(self, words: &[&str]) -> Judged {
        self.leaves_out(&[], words)
    }

    /// Says that we publish what apt refuses: these, beside `good` and `last`.
    pub(crate) fn publishes(mut self, packages: &[&str]) -> Judged {
        self.publishes_more = all_of(packages);
        self.passes()
    }

    /// Says that we publish all that apt reads but for these packages, and warn with these words.
    pub(crate) fn leaves_out(mut self, packages: &[&str], words: &[&str]) -> Judged {
        self.ours = Ours::Publish(all_of(packages));
        Judged {
            entry: self,
            words: all_of(words),
        }
    }

    /// Says that we publish nothing of it, with these words.
    pub(crate) fn refuses(self, words: &[&str]) -> Judged {
        Judged {
            entry: self,
            words: all_of(words),
        }
    }
}

/// Holds every entry against apt and the program. All that fail are named.
#[track_caller]
pub(crate) fn check(entries: Vec<Judged>) {
    if !has("apt-get") || !has("apt-cache") {
        return;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(judged) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(judged.failure());
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap());
        joined.flatten().collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The outcome of apt on an archive or a merged tree.
#[derive(Debug, Default)]
struct Seen {
    is_refused: bool,
    /// `NAME VERSION`, or `src:NAME VERSION`.
    packages: BTreeSet<String>,
    /// The texts of the files that could be downloaded.
    files: BTreeSet<String>,
    stderr: String,
}

impl Seen {
    /// Lets apt update, look at everything, and download everything.
    fn by(apt: &Apt, names: &BTreeSet<String>) -> Seen {
        let update = Said::of(&apt.call("apt-get", &["update"]));
        let mut seen = Seen {
            is_refused: update.code != Some(0),
            stderr: update.stderr,
            ..Seen::default()
        };
        let dump = Said::of(&apt.call("apt-cache", &["dump"]));
        seen.is_refused |= dump.code != Some(0);
        seen.stderr += &dump.stderr;
        if seen.is_refused {
            return seen;
        }
        let mut package = "";
        // The files that apt read follow the packages.
        let of_packages = dump.stdout.lines().take_while(|l| !l.starts_with("File: "));
        for line in of_packages {
            if let Some(name) = line.strip_prefix("Package: ") {
                package = name;
            } else if let Some(version) = line.strip_prefix(" Version: ") {
                seen.packages.insert(format!("{package} {version}"));
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shown = apt.call(
            "apt-cache",
            &[&["showsrc", "--only-source"], &names[..]].concat(),
        );
        let mut package = "";
        let shown = Said::of(&shown).stdout;
        for line in shown.lines() {
            if let Some(name) = line.strip_prefix("Package: ") {
                package = name;
            } else if let Some(version) = line.strip_prefix("Version: ") {
                seen.packages.insert(format!("src:{package} {version}"));
            }
        }
        let (sources, binaries): (Vec<_>, Vec<_>) =
            seen.packages.iter().partition(|p| p.starts_with("src:"));
        let of = |all: Vec<&String>| -> Vec<String> {
            let all = all.iter().map(|p| p.trim_start_matches("src:"));
            all.map(|p| p.replacen(' ', "=", 1)).collect()
        };
        let mut stderr = String::new();
        for (command, packages) in [
            (&["download"][..], of(binaries)),
            (&["source", "--download-only", "--only-source"], of(sources)),
        ] {
            let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
            let get =
                |packages: &[&str]| Said::of(&apt.call("apt-get", &[command, packages].concat()));
            let said = get(&packages);
            stderr += &said.stderr;
            if said.code != Some(0) {
                // One that cannot be had keeps apt from the others.
                packages.chunks(1).for_each(|package| drop(get(package)));
            }
        }
        seen.stderr += &stderr;
        for file in fs::read_dir(apt.path("downloads")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "FAILED") {
                continue; // it is not the file that the index names
            }
            let text = fs::read(path).unwrap();
            seen.files
                .insert(String::from_utf8_lossy(&text).into_owned());
        }
        seen
    }
}

impl Judged {
    /// Returns what is wrong, if anything is.
    fn failure(&self) -> Option<String> {
        let entry = &self.entry;
        let mut faults = Vec::new();
        let mut archive = Archive::good();
        (entry.make)(&mut archive);
        archive.end_with("last");
        let site = Site::bare();
        archive.write(&site.path("archive"), &site.path("keys/main.secret.asc"));
        let mirror = Mirror::of(&site.path("archive"));
        let (behaviour, root) = (archive.behaviour.clone(), site.path("archive"));
        mirror.behave(move |path| {
            let own = behaviour.as_ref().and_then(|behave| behave(path));
            own.or_else(|| {
                let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                Some((200, fs::read(root.join(&*path)).ok()?))
            })
        });
        site.write_config(&(archive.config)(CONFIG.replace("@URI@", &mirror.uri())));
        let names = names(&archive);

        let line = |key: &str, uri: &str, suite: &str| {
            let key = site.path(key);
            let line = format!("[signed-by={}] {uri} {suite}\n", key.display());
            format!("deb {line}deb-src {line}")
        };
        let settings = "Acquire::Languages \"none\";";
        let apt = |lines: &str| Apt::new(&["amd64"], lines, settings);
        let direct = Seen::by(
            &apt(&line("keys/main.gpg", &mirror.uri(), &archive.line)),
            &names,
        );
        entry.compare_direct(&direct, &mut faults);

        let said = site.aptmerge(&["run"]);
        self.compare_words(&said, &mut faults);
        let mut merged = Seen::default();
        if let Ours::Publish(left_out) = &entry.ours {
            if said.code == Some(0) {
                let verified = site.aptmerge(&["verify"]);
                if verified.code != Some(0) {
                    faults.push(format!("what is published does not verify: {verified:?}"));
                }
                let server = site.serve();
                let lines = line("keys/publish.gpg", &server.url(), "merged main");
                merged = Seen::by(&apt(&lines), &names);
                if merged.is_refused {
                    faults.push("apt refuses what is published".into());
                }
                let mut packages = entry.expected();
                packages.extend(entry.publishes_more.iter().cloned());
                packages.retain(|package| !left_out.contains(package));
                if merged.packages != packages {
                    faults.push(format!("published: {:?}", merged.packages));
                }
                let is_left_out = |file: &&String| !left_out.is_empty() && file.contains("odd");
                let files = direct.files.iter().filter(|f| !is_left_out(f)).cloned();
                let is_same = match direct.is_refused || !entry.lost.is_empty() {
                    true => merged.files.len() == packages.len(),
                    false => merged.files == files.collect(),
                };
                if !is_same {
                    faults.push(format!("downloaded: {:?}", merged.files));
                }
            }
        } else if site.link().is_some() {
            faults.push("something is published".into());
        }
        let cut = |text: &str| text.chars().take(1500).collect::<String>();
        (!faults.is_empty()).then(|| {
            format!(
                "## {}: {}\napt, of the archive: {:?} {:?}\n{}\nthe run, exit {:?}: {}\napt, of the merged tree: {}",
                entry.name,
                faults.join("; "),
                direct.packages,
                direct.files,
                cut(&direct.stderr),
                said.code,
                cut(&said.stderr),
                cut(&merged.stderr)
            )
        })
    }

    fn compare_words(&self, said: &Said, faults: &mut Vec<String>) {
        let code = match self.entry.ours {
            Ours::Publish(_) => 0,
            Ours::Refuse => 1,
        };
        if said.code != Some(code) {
            faults.push(format!("exit {:?} instead of {code}", said.code));
        }
        for word in &self.words {
            if !said.stderr.contains(word) {
                faults.push(format!("`{word}` is not said"));
            }
        }
        if self.words.is_empty() && !said.stderr.is_empty() {
            faults.push("something is said".into());
        }
        let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if said.stderr.contains(steers) || said.stderr.len() > 10_000 {
            faults.push("control characters, or no end".into());
        }
    }
}

impl Entry {
    /// Returns what apt reads, if it reads the archive.
    fn expected(&self) -> BTreeSet<String> {
        let mut packages = self.reads.clone().unwrap_or_default();
        let good = ["good 1.0", "last 1.0", "src:good 1.0", "src:last 1.0"];
        packages.extend(all_of::<Vec<_>>(&good));
        packages
    }

    fn compare_direct(&self, seen: &Seen, faults: &mut Vec<String>) {
        if seen.is_refused != self.reads.is_none() {
            let does = if seen.is_refused { "refuses" } else { "reads" };
            faults.push(format!("apt {does} the archive"));
        }
        for word in &self.apt_words {
            if !seen.stderr.contains(word) {
                faults.push(format!("apt does not say `{word}`"));
            }
        }
        if seen.is_refused {
            return;
        }
        let mut packages = self.expected();
        packages.retain(|package| !self.lost.contains(package));
        if seen.packages != packages {
            faults.push(format!("apt does not read {packages:?}"));
        }
        let got = packages.len() - self.not_got.len();
        if seen.files.len() != got {
            faults.push(format!("apt gets {} files, not {got}", seen.files.len()));
        }
    }
}

/// Returns the names that stand in the indices, for apt has no list of sources.
fn names(archive: &Archive) -> BTreeSet<String> {
    let indices = [PACKAGES, SOURCES].into_iter();
    let texts = indices.filter_map(|index| archive.indices.get(index));
    let lines = texts.flat_map(|text| text.split(|b| *b == b'\n'));
    let names = lines.filter_map(|line| {
        let line = String::from_utf8_lossy(line).into_owned();
        let (field, name) = line.split_once(':')?;
        let is_name = field.eq_ignore_ascii_case("Package") && !name.contains('\0');
        is_name.then(|| name.trim().to_owned())
    });
    names.filter(|name| !name.is_empty()).collect()
}
