//! Inputs that no archive gave: a suite is published from packages in memory, as a repository's or a snapshot's could be.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::events::Silent;
use aptmerge::indices::IndexName;
use aptmerge::lock::{Holder, RunLock};
use aptmerge::merge::{Input, Inputs, MemoryInput};
use aptmerge::publish::{self, Action, Allowances, Plan, StageOptions};
use aptmerge::spec::Content;
use aptmerge::workspace::Workspace;
use jiff::Timestamp;

use crate::common::apt::{Apt, stanzas, unxz};
use crate::common::programs::has;
use crate::common::site::Site;

const CONFIG: &str = r#"
root = "site"
priority = ["high", "low"]
architectures = ["all", "amd64"]
indices = ["packages", "translations"]
[archives.high]
pool = "HIGH"
uris = ["file:///nowhere/high"]
signed-by = "keys/overlay.gpg"
[archives.low]
pool = "LOW"
uris = ["file:///nowhere/low"]
signed-by = "keys/main.gpg"
[suites.merged]
from = { high = "x", low = "x" }
[signing]
key-file = "keys/publish-a.secret.asc"
"#;

const PACKAGES: &str = "main/binary-amd64/Packages";

/// The inputs in memory, by the name of their archive.
struct Shelf(BTreeMap<&'static str, MemoryInput>);

impl Inputs for Shelf {
    fn inputs<'a>(&'a self, content: &Content) -> Result<Vec<Box<dyn Input + 'a>>> {
        let inputs = content.inputs.iter().map(|input| {
            let found = self.0.get(input.archive.as_str()).cloned();
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            let found =
                found.ok_or_else(|| Error::io("find", input.archive.as_str())(missing()))?;
            Ok(Box::new(found) as Box<dyn Input>)
        });
        inputs.collect()
    }
}

fn input(name: &str, texts: &[(&str, String)]) -> MemoryInput {
    let texts = texts.iter().map(|(path, text)| {
        let name = IndexName::parse(path).unwrap();
        (name, text.clone().into_bytes())
    });
    MemoryInput::new(name, Timestamp::UNIX_EPOCH, texts.collect())
}

fn package(name: &str, version: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDescription: one\n\
         Filename: pool/{name}_{version}_amd64.deb\nSize: 1000\nSHA256: {:064}\n\n",
        1
    )
}

fn shelf(version: &str) -> Shelf {
    let high = package("both", version);
    let low = package("both", "1") + &package("lone", "1");
    Shelf(BTreeMap::from([
        ("high", input("high x", &[(PACKAGES, high)])),
        ("low", input("low x", &[(PACKAGES, low)])),
    ]))
}

/// Publishes the suite at a time; returns whether there was anything to publish.
fn publish(site: &Site, shelf: &Shelf, now: &str) -> bool {
    let config = Config::load(&site.config_file()).unwrap();
    let setup = config.setup();
    let holder = Holder {
        command: "a test".into(),
        started: "now".into(),
    };
    fs::create_dir_all(&config.root).unwrap();
    let lock = RunLock::acquire(&config.lock, &holder, Duration::ZERO).unwrap();
    let mut workspace = Workspace::open(&lock, &config.root).unwrap();
    let signer = setup.signing.signer().unwrap();
    let now = now.parse().unwrap();
    let swapped = {
        let published = publish::inspect(&workspace, now).unwrap();
        let plan: Plan<'_> = setup.plan(shelf, &signer, &published, now, false).unwrap();
        if plan.is_empty() {
            return false;
        }
        assert!(matches!(plan.suites[0].action, Action::Merge(_)));
        let options = StageOptions {
            signer: &signer,
            allow: Allowances::default(),
            listener: &Silent,
            cancel: &Cancel::default(),
        };
        let staged = plan.stage(&workspace, options).unwrap();
        let checked = staged.check(&workspace, options, now).unwrap();
        assert!(checked.refused().is_empty());
        checked.swap(&workspace).unwrap()
    };
    swapped.finish(&mut workspace).unwrap();
    true
}

#[test]
fn a_suite_is_published_from_inputs_in_memory() {
    let site = Site::bare();
    site.write_config(CONFIG);
    assert!(publish(&site, &shelf("2"), "2026-03-01T00:00:00Z"));
    let index = site.merged("dists/merged/main/binary-amd64/Packages.xz");
    let published = stanzas(&unxz(&index));
    assert_eq!(published.len(), 2, "{published:?}");
    assert!(published[0].contains("Filename: pool/LOW/lone_1_amd64.deb\n"));
    assert!(published[1].contains("Version: 2\n"), "{published:?}");
    assert!(published[1].contains("Filename: pool/HIGH/both_2_amd64.deb\n"));
    site.ok(&["--clock", "2026-03-01T00:30:00Z", "verify"]);

    // The same packages are nothing new, whatever object holds them; another one is.
    assert!(!publish(&site, &shelf("2"), "2026-03-01T01:00:00Z"));
    assert!(publish(&site, &shelf("3"), "2026-03-01T02:00:00Z"));
    assert!(unxz(&index).contains("Version: 3\n"));

    // An input that is not there keeps the suite as it is published.
    let Shelf(mut inputs) = shelf("4");
    inputs.remove("low");
    let config = Config::load(&site.config_file()).unwrap();
    let spec = config.specs().remove(0);
    assert!(Shelf(inputs).inputs(&spec.content).is_err());

    if has("apt-get") {
        let line = format!(
            "deb [signed-by={}] file:{} merged main\n",
            site.path("keys/publish-a.gpg").display(),
            site.root().join("merged").display()
        );
        let apt = Apt::new(&["amd64"], &line, "Acquire::Check-Valid-Until \"false\";\n");
        apt.ok("apt-get", &["update"]);
        assert_eq!(apt.candidate("both"), "3");
        assert_eq!(apt.candidate("lone"), "1");
    }
}
