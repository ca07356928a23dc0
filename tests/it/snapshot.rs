//! Snapshots: made of repositories and of each other, compared, verified; and what goes from repository to repository.

use std::fs;

use crate::common::packages::Deb;
use crate::common::site::Site;

/// Makes a repository of packages, and a snapshot of it under the same name.
fn keep(site: &Site, name: &str, debs: &[Deb<'_>]) {
    site.ok(&["repository", "create", name]);
    let directory = site.path(format!("incoming-{name}"));
    fs::create_dir_all(&directory).unwrap();
    debs.iter().for_each(|deb| drop(deb.write(&directory)));
    site.ok(&["repository", "add", name, directory.to_str().unwrap()]);
    site.ok(&["snapshot", "create", name, "--repository", name]);
}

/// The packages that `show --packages` lists: `hello 1.0 amd64`.
fn packages(site: &Site, what: &str, name: &str) -> Vec<String> {
    let shown = site.ok(&[what, "show", name, "--packages"]);
    let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(str::to_owned).collect()
}

#[test]
fn snapshots_are_merged_by_one_of_three_rules() {
    let site = Site::new();
    keep(
        &site,
        "low",
        &[Deb::new("x", "1"), Deb::new("x", "2"), Deb::new("y", "1")],
    );
    let arm = Deb {
        architecture: "arm64",
        ..Deb::new("x", "0.5")
    };
    keep(&site, "high", &[Deb::new("x", "1.5"), arm]);
    for (rule, order, expected) in [
        (
            None,
            ["low", "high"],
            &["x 0.5 arm64", "x 1.5 amd64", "y 1 amd64"][..],
        ),
        (
            None,
            ["high", "low"],
            &["x 0.5 arm64", "x 1 amd64", "x 2 amd64", "y 1 amd64"],
        ),
        (
            Some("--latest"),
            ["low", "high"],
            &["x 0.5 arm64", "x 2 amd64", "y 1 amd64"],
        ),
        (
            Some("--union"),
            ["low", "high"],
            &[
                "x 0.5 arm64",
                "x 1 amd64",
                "x 1.5 amd64",
                "x 2 amd64",
                "y 1 amd64",
            ],
        ),
    ] {
        let arguments = ["snapshot", "merge", "merged", order[0], order[1]];
        let arguments: Vec<_> = arguments.into_iter().chain(rule).collect();
        site.ok(&arguments);
        assert_eq!(
            packages(&site, "snapshot", "merged"),
            expected,
            "{arguments:?}"
        );
        site.ok(&["store", "check", "--deep"]);
        site.ok(&["snapshot", "drop", "merged"]);
    }
}

#[test]
fn a_snapshot_stays_and_says_what_it_was_made_of() {
    let site = Site::new();
    keep(&site, "own", &[Deb::new("hello", "1.0")]);
    let more = Deb::new("hello", "2.0").write(&site.path("more"));
    site.ok(&["repository", "add", "own", more.to_str().unwrap()]);
    assert_eq!(packages(&site, "snapshot", "own"), ["hello 1.0 amd64"]);
    let difference = site.ok(&["snapshot", "diff", "own", "repository:own"]);
    assert_eq!(difference, "hello amd64: - -> 2.0\n");

    site.ok(&["repository", "rename", "own", "ours"]);
    let shown = site.json(&["--json", "snapshot", "show", "own"]);
    assert_eq!(shown["sources"], serde_json::json!(["repository:ours"]));
    site.aptmerge(&["repository", "drop", "ours"])
        .expect(1, &["the snapshot `own` was made of it", "--force"]);
    site.ok(&["repository", "drop", "--force", "ours"]);
    assert_eq!(packages(&site, "snapshot", "own"), ["hello 1.0 amd64"]);

    site.ok(&["snapshot", "filter", "some", "own", "hello (>> 1.0)"]);
    assert!(packages(&site, "snapshot", "some").is_empty());
    site.aptmerge(&["snapshot", "rename", "some", "own"])
        .expect(1, &["there is a snapshot `own` already"]);
    site.aptmerge(&["snapshot", "create", "some", "--empty"])
        .expect(1, &["there is a snapshot `some` already"]);
    site.aptmerge(&["snapshot", "drop", "own"])
        .expect(1, &["the snapshot `some` was made of it"]);
    site.aptmerge(&["snapshot", "filter", "other", "own", "hello (>="])
        .expect(2, &["the query `hello (>=` cannot be read"]);
    site.aptmerge(&["snapshot", "show", "onw"])
        .expect(1, &["no snapshot `onw`", "did you mean `own`?"]);
}

#[test]
fn packages_are_pulled_with_what_they_need() {
    let site = Site::new();
    let needs = |name, version, fields| Deb {
        fields,
        ..Deb::new(name, version)
    };
    keep(
        &site,
        "stable",
        &[
            Deb::new("app", "1"),
            Deb::new("lib", "1"),
            Deb::new("there", "1"),
        ],
    );
    keep(
        &site,
        "testing",
        &[
            needs("app", "2", "Depends: lib (>= 2), there, virtual\n"),
            needs(
                "app",
                "3",
                "Depends: lib (>= 2), there | absent, virtual (>= 1)\n",
            ),
            Deb::new("lib", "2"),
            Deb::new("there", "2"),
            needs(
                "b-provider",
                "1",
                "Provides: virtual (= 1)\nDepends: absent\n",
            ),
            needs("a-provider", "1", "Provides: virtual\n"),
        ],
    );
    let pull = [
        "snapshot",
        "pull",
        "new",
        "--into=stable",
        "--from=testing",
        "app",
    ];
    let foreseen = site.ok(&[&pull[..], &["-n"]].concat());
    assert_eq!(
        foreseen,
        "removed app 1 amd64\nremoved lib 1 amd64\nadded app 3 amd64\nadded lib 2 amd64\nadded b-provider 1 amd64\n"
    );
    site.ok(&pull);
    assert_eq!(
        packages(&site, "snapshot", "new"),
        [
            "app 3 amd64",
            "b-provider 1 amd64",
            "lib 2 amd64",
            "there 1 amd64"
        ]
    );
    // The provider needs what nobody has.
    let said = site.aptmerge(&["snapshot", "verify", "new"]);
    assert_eq!(said.expect(1, &[]).stdout, "b-provider 1 amd64: absent\n");
    site.ok(&["snapshot", "verify", "stable"]);

    let mut keeping = pull.to_vec();
    keeping[2] = "kept";
    keeping.extend(["--keep-versions", "--without-dependencies", "--all-matches"]);
    site.ok(&keeping);
    assert_eq!(
        packages(&site, "snapshot", "kept"),
        [
            "app 1 amd64",
            "app 2 amd64",
            "app 3 amd64",
            "lib 1 amd64",
            "there 1 amd64"
        ]
    );
}

#[test]
fn packages_go_from_repository_to_repository() {
    let site = Site::new();
    keep(&site, "from", &[Deb::new("a", "1"), Deb::new("b", "1")]);
    let other = Deb {
        text: "other",
        ..Deb::new("b", "1")
    };
    keep(&site, "to", &[other]);
    site.aptmerge(&["repository", "move", "from", "to", "Name (~ .)"])
        .expect(
            1,
            &["the repository `to` has another package of this version"],
        );
    // The refused one stays where it is.
    assert_eq!(packages(&site, "repository", "from"), ["b 1 amd64"]);
    assert_eq!(
        packages(&site, "repository", "to"),
        ["a 1 amd64", "b 1 amd64"]
    );
    site.ok(&["repository", "copy", "--replace", "from", "to", "b"]);
    assert_eq!(
        site.ok(&["snapshot", "diff", "repository:from", "repository:to"]),
        "a amd64: - -> 1\n"
    );
    site.aptmerge(&["repository", "copy", "to", "to", "b"])
        .expect(2, &["both the source and the destination"]);
    site.ok(&["repository", "remove", "to", "a | b"]);
    assert!(packages(&site, "repository", "to").is_empty());
}

#[test]
fn the_newest_versions_stay_with_their_sources() {
    let site = Site::new();
    let versions = ["1:1", "9", "10", "2"].map(|version| Deb::new("hello", version));
    keep(&site, "own", &versions);
    let foreseen = site.ok(&["repository", "retain", "own", "--versions=2", "-n"]);
    assert_eq!(foreseen, "removed hello 2 amd64\nremoved hello 9 amd64\n");
    site.ok(&["repository", "retain", "own", "absent", "--versions=1"]);
    assert_eq!(packages(&site, "repository", "own").len(), 4);
    site.ok(&["repository", "retain", "own", "--versions=2"]);
    assert_eq!(
        packages(&site, "repository", "own"),
        ["hello 10 amd64", "hello 1:1 amd64"]
    );
}

#[test]
fn packages_are_found_by_queries_and_keys() {
    let site = Site::new();
    let admin = Deb {
        fields: "Section: admin\n",
        ..Deb::new("tool", "2")
    };
    keep(&site, "own", &[Deb::new("hello", "1"), admin]);
    let key = site.ok(&["package", "search", "Section (admin)"]);
    assert!(key.starts_with("Pamd64 tool 2 "), "{key}");
    let shown = site.json(&["--json", "package", "show", key.trim()]);
    let holders = serde_json::json!(["repository:own", "snapshot:own"]);
    assert_eq!(shown[0]["held-by"], holders);
    assert!(
        shown[0]["stanza"]
            .as_str()
            .unwrap()
            .contains("\nSection: admin\n")
    );
    site.ok(&["repository", "remove", "own", "tool"]);
    assert_eq!(site.ok(&["package", "search", "Section (admin)"]), key);
    assert_eq!(
        site.ok(&[
            "package",
            "search",
            "--in=repository:own",
            "Section (admin)"
        ]),
        ""
    );
    site.aptmerge(&["package", "show", "Pamd64 tool 3 0000abcd"])
        .expect(1, &["no package `Pamd64 tool 3 0000abcd`"]);
    site.aptmerge(&["package", "show", "tool"])
        .expect(2, &["no key of a package"]);
}
