//! What an entry of the catalogue is, and how each is held against the program.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::programs::{Said, has};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite};

/// The address space that a run may have: a bomb that is unpacked into memory does not fit.
const ADDRESS_SPACE_BYTES: u64 = 2 << 30;

/// Far more than any entry takes on a slow machine, and far less than for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The index that is tampered with where nothing else is said.
pub(crate) const PACKAGES: &str = "main/binary-amd64/Packages";

/// One thing that may be done to an archive.
pub(crate) struct Entry {
    name: &'static str,
    spoil: Box<dyn Fn(&Site)>,
    words: Vec<String>,
    /// On a site that has nothing yet there is nothing to be refused: a rollback, say.
    needs_past: bool,
}

/// Something that is refused: by these words, on a first run (exit 1) and on a later one (exit 3).
pub(crate) fn entry(name: &'static str, words: &[&str], spoil: impl Fn(&Site) + 'static) -> Entry {
    Entry {
        name,
        spoil: Box::new(spoil),
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        needs_past: false,
    }
}

/// The same, for what can be told only by what was seen before.
pub(crate) fn later(name: &'static str, words: &[&str], spoil: impl Fn(&Site) + 'static) -> Entry {
    Entry {
        needs_past: true,
        ..entry(name, words, spoil)
    }
}

/// A change of main's Release, dated anew and signed by its own key.
pub(crate) fn signed(
    name: &'static str,
    words: &[&str],
    change: impl Fn(&mut Suite) + 'static,
) -> Entry {
    entry(name, words, move |site| {
        let mut suite = site.main();
        suite.set("Date", NEWER);
        change(&mut suite);
        suite.sign();
    })
}

/// Runs with bounded memory, and looks at the time.
pub(crate) fn run(site: &Site, options: &[&str]) -> Said {
    let inner = site.command(&[&["run"], options].concat());
    let begun = Instant::now();
    let said = if has("prlimit") {
        let out = Command::new("prlimit")
            .arg(format!("--as={ADDRESS_SPACE_BYTES}"))
            .arg("--")
            .arg(inner.get_program())
            .args(inner.get_args())
            .env_remove("APTMERGE_CONFIG")
            .output();
        Said::of(&out.unwrap())
    } else {
        site.run(options)
    };
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    said
}

/// Every entry on a site that is published, then on one that never was. All that fail are named.
#[track_caller]
pub(crate) fn check(entries: &[Entry]) {
    let mut failures = Vec::new();
    let site = Site::published();
    let before = site.served();
    assert!(before.len() > 20);
    for entry in entries {
        (entry.spoil)(&site);
        let said = run(&site, &[]);
        let kept = "stays at its last good copy".to_owned();
        let mut faults = entry.faults(&said, 3, [&kept]);
        if site.served() != before {
            faults.push("what is served was touched".into());
        }
        let verified = site.aptmerge(&["verify"]);
        if verified.code != Some(0) {
            faults.push(format!(
                "what is served does not verify: {}",
                verified.stderr
            ));
        }
        failures.extend(entry.tell("on a published site", &said, faults));
        site.restore();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // Whatever was refused may have been signed, so what is older than that would be told.
    site.restore_newer();
    site.run_without_news(&[]);
    assert_eq!(before, site.served());

    let site = Site::new();
    for entry in entries.iter().filter(|entry| !entry.needs_past) {
        (entry.spoil)(&site);
        let said = run(&site, &[]);
        let mut faults = entry.faults(&said, 1, []);
        if !site.served().is_empty() {
            faults.push("something is served".into());
        }
        failures.extend(entry.tell("on a first run", &said, faults));
        site.restore();
    }
    run(&site, &[]).expect(0, &[]);
    site.aptmerge(&["verify"]).expect(0, &[]);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What an archive may do, odd as it is: the change is published, and what is served holds.
#[track_caller]
pub(crate) fn let_pass(entries: &[Entry]) {
    let mut failures = Vec::new();
    for entry in entries {
        let site = Site::published();
        (entry.spoil)(&site);
        let said = run(&site, &[]);
        let mut faults = entry.faults(&said, 0, []);
        let verified = site.aptmerge(&["verify"]);
        if verified.code != Some(0) {
            faults.push(format!(
                "what is served does not verify: {}",
                verified.stderr
            ));
        }
        failures.extend(entry.tell("let pass", &said, faults));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

impl Entry {
    /// The same, with a change of the site besides.
    pub(crate) fn on(self, change: impl Fn(&Site) + 'static) -> Entry {
        let spoil = self.spoil;
        Entry {
            spoil: Box::new(move |site| {
                spoil(site);
                change(site);
            }),
            ..self
        }
    }

    fn faults<const N: usize>(&self, said: &Said, code: i32, more: [&String; N]) -> Vec<String> {
        let mut faults = Vec::new();
        if said.code != Some(code) {
            faults.push(format!("exit {:?} instead of {code}", said.code));
        }
        for word in self.words.iter().chain(more) {
            if !said.stderr.contains(word.as_str()) {
                faults.push(format!("`{word}` is not said"));
            }
        }
        // Whatever is quoted must not steer a terminal.
        if said
            .stderr
            .contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t'))
        {
            faults.push("control characters on the terminal".into());
        }
        if said.stderr.len() > 10_000 {
            faults.push(format!("a message of {} bytes", said.stderr.len()));
        }
        faults
    }

    fn tell(&self, place: &str, said: &Said, faults: Vec<String>) -> Option<String> {
        let shown: String = said.stderr.chars().take(1500).collect();
        (!faults.is_empty())
            .then(|| format!("## {}, {place}: {}\n{shown}", self.name, faults.join("; ")))
    }
}
