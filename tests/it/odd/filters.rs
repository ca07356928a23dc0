//! Filters and bans against odd stanzas: excluded packages stay out, and those that are left out are told within bounds.

use super::archive::Archive;
use super::catalogue::{Entry, check, odd};

const SEEN: &[&str] = &["odd 1.0"];

/// Excludes the package `odd` and the source `odd`.
fn exclude(archive: &mut Archive) {
    archive.config = Box::new(|config| {
        config.replace(
            "\n[suites.merged]",
            "exclude = { packages = [\"odd\"], sources = [\"odd\"] }\n\n[suites.merged]",
        )
    });
}

/// Returns an entry whose package `odd` has a part that is another, and is excluded.
fn excluded(name: &str, part: [&'static str; 2]) -> Entry {
    odd(name, move |archive| {
        exclude(archive);
        let stanza = archive.binary("odd");
        archive.packages(stanza.replacen(part[0], part[1], 1));
    })
}

#[test]
fn exclude_wins_over_every_check() {
    check(vec![
        excluded("a climbing path, excluded", ["pool/odd", "../odd"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .leaves_out(SEEN, &[]),
        excluded(
            "a line that is no field, excluded",
            ["Size:", "# a: b\nSize:"],
        )
        .reads(SEEN)
        .leaves_out(SEEN, &[]),
        excluded("no Version, excluded", ["Version: 1.0\n", ""])
            .reads(&[])
            .passes(),
        excluded("a foreign architecture, excluded", ["amd64", "pdp11"])
            .reads(&["odd:pdp11 1.0"])
            .leaves_out(&["odd:pdp11 1.0"], &[]),
        excluded(
            "a relation that apt cannot read, excluded",
            ["Size:", "Depends: a b\nSize:"],
        )
        .apt_refuses(&["Problem parsing dependency"])
        .leaves_out(&[], &[]),
        odd("a source that climbs, excluded", |archive| {
            exclude(archive);
            let stanza = archive.source("odd");
            archive.sources(stanza.replace("Directory: pool", "Directory: ../pool"));
        })
        .reads(&["src:odd 1.0"])
        .cannot_get(&["src:odd 1.0"])
        .leaves_out(&["src:odd 1.0"], &[]),
    ]);
}

#[test]
fn bans_and_masses() {
    let ban = |archive: &mut Archive| {
        archive.config = Box::new(|config| config + "\n[bans]\npackages = [\"evil\"]\n");
    };
    let depends = move |name, lines: &'static str| {
        odd(name, move |archive| {
            ban(archive);
            let stanza = archive.binary("odd") + lines;
            archive.packages(stanza + "X: evil\n");
        })
        .reads(SEEN)
    };
    check(vec![
        depends(
            "a ban in the first Depends of two",
            "Depends: evil\nDepends: good\n",
        )
        .leaves_out(SEEN, &[]),
        depends(
            "a ban in the second Depends of two",
            "Depends: good\nDepends: evil\n",
        )
        .leaves_out(SEEN, &[]),
        odd("a thousand stanzas that cannot be published", |archive| {
            let stanza = archive.binary("odd");
            for number in 0..1_000 {
                let name = format!("Package: odd{number}\n");
                let stanza = stanza.replace("Package: odd\n", &name);
                archive.packages(stanza.replace("Size:", "Depends: a b\nSize:"));
            }
        })
        .apt_refuses(&["Problem parsing dependency"])
        .leaves_out(
            &[],
            &["995 further packages of amd64 that cannot be published are left out"],
        ),
        odd("a thousand stanzas without a version", |archive| {
            let stanza = archive.binary("odd").replace("Version: 1.0\n", "");
            (0..1_000).for_each(|_| archive.packages(&stanza));
        })
        .reads(&[])
        .leaves_out(
            &[],
            &[
                "line 42: `odd`: ",
                "odd odd main/binary-amd64/Packages: 995 further faulty stanzas",
            ],
        ),
    ]);
}
