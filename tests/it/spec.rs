//! The spec of a suite decides what is made anew: a setting that it holds does so by itself, and no other one does.

use crate::common::apt::unxz;
use crate::common::gnupg::Gnupg;
use crate::common::site::Site;
use crate::common::state;
use crate::common::upstream::{NEWER, xz};

const KEY_A: &str = "key-file = \"keys/publish-a.secret.asc\"";

/// What was made anew of the suite since the last run.
#[derive(Debug, PartialEq, Eq)]
enum Anew {
    Nothing,
    /// Its Release alone.
    Release,
    /// Its indices, and so its Release.
    Indices,
}

/// Returns the number of the generation, and the digests of what the suite's indices and its Release are made from.
fn recorded(site: &Site) -> (u64, String, String) {
    let list = state::published(&site.root());
    let suite = &list["suites"]["daedalus"];
    let digest = |name: &str| suite[name].as_str().unwrap().to_owned();
    let number = list["number"].as_u64().unwrap();
    (number, digest("content"), digest("release"))
}

/// Calls the program and returns what it made anew.
#[track_caller]
fn made_by(site: &Site, verb: &str) -> Anew {
    let (number, content, release) = recorded(site);
    let outcome = site.json(&[verb, "--json"]);
    let now = recorded(site);
    assert_eq!(outcome["generation"], now.0);
    match outcome["changed"].as_array().unwrap().as_slice() {
        [] => {
            assert_eq!(now, (number, content, release));
            Anew::Nothing
        }
        [suite] => {
            assert_eq!((suite.as_str(), now.0), (Some("daedalus"), number + 1));
            match now.1 == content {
                true => Anew::Release,
                false => Anew::Indices,
            }
        }
        more => panic!("{more:?}"),
    }
}

/// Returns the languages of the published translations, as the Release lists them and as they are there.
#[track_caller]
fn languages(site: &Site) -> Vec<String> {
    let dir = site.merged("dists/daedalus");
    let listed: Vec<String> = release_text(site)
        .lines()
        .filter_map(|line| {
            line.split_once(" main/i18n/Translation-")?
                .1
                .strip_suffix(".xz")
        })
        .map(str::to_owned)
        .collect();
    let prefix = "Translation-";
    let there = std::fs::read_dir(dir.join("main/i18n"))
        .into_iter()
        .flatten();
    let names = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = names
        .filter_map(|name| Some(name.strip_prefix(prefix)?.strip_suffix(".xz")?.to_owned()))
        .collect();
    there.sort();
    assert_eq!(there, listed);
    listed
}

fn release_text(site: &Site) -> String {
    std::fs::read_to_string(site.merged("dists/daedalus/Release")).unwrap()
}

/// Makes a site whose main archive has translations into English and German.
fn translated(languages: &str) -> Site {
    let site = Site::new();
    let mut main = site.main();
    let english = unxz(&main.dir.join("main/i18n/Translation-en.xz"));
    let german = english.replace("Description-en:", "Description-de:");
    assert_ne!(german, english);
    main.mention("main/i18n/Translation-de", german.as_bytes());
    main.add("main/i18n/Translation-de.xz", &xz(german.as_bytes()));
    main.set("Date", NEWER);
    main.sign();
    site.configure(
        "indices = [\"packages\", \"sources\"]",
        &format!("indices = [\"packages\", \"translations\"]\nlanguages = [{languages}]"),
    );
    site.publish()
}

#[test]
fn a_change_of_languages_leads_to_a_merge_of_the_copies_that_are_there() {
    let site = translated("");
    assert_eq!(languages(&site), ["de", "en"]);
    for (from, to, published) in [
        ("", "\"en\"", &["en"][..]),
        ("\"en\"", "\"de\"", &["de"]),
        ("\"de\"", "", &["de", "en"]),
    ] {
        let setting = |of: &str| format!("languages = [{of}]");
        site.configure(&setting(from), &setting(to));
        assert_eq!(made_by(&site, "publish"), Anew::Indices, "{to}");
        assert_eq!(languages(&site), published);
        assert_eq!(made_by(&site, "publish"), Anew::Nothing, "{to}");
        site.ok(&["verify"]);
    }
}

#[test]
fn a_language_that_the_copies_lack_comes_with_the_next_fetch() {
    let site = translated("\"en\"");
    site.configure("languages = [\"en\"]", "languages = []");
    site.ok(&["publish"]);
    assert_eq!(languages(&site), ["en"]);
    assert_eq!(made_by(&site, "run"), Anew::Indices);
    assert_eq!(languages(&site), ["de", "en"]);
    assert_eq!(made_by(&site, "run"), Anew::Nothing);
}

#[test]
fn the_same_key_by_another_name_signs_nothing_anew() {
    let Some(gnupg) = Gnupg::new() else { return };
    let site = Site::published();
    let config = std::fs::read_to_string(site.config_file()).unwrap();
    let sign_with = |keys: &str| site.write_config(&config.replace(KEY_A, keys));
    let by_gpg = |key: &str| {
        let home = gnupg.home().display();
        format!("gpg = {{ keys = [\"{key}\"], homedir = \"{home}\" }}")
    };
    let secret = site.path("keys/publish-a.secret.asc");
    gnupg.import(&secret);
    let copy = site.path("keys/elsewhere.asc");
    std::fs::copy(&secret, &copy).unwrap();
    let user = "publish-a@archive.example";
    let fingerprint = gnupg.fingerprints(user).remove(0);
    for keys in [
        "key-file = [\"keys/elsewhere.asc\"]",
        &by_gpg(&fingerprint),
        &by_gpg(user),
        &by_gpg("aptmerge fixtures publish-a (public test key) <publish-a@archive.example>"),
    ] {
        sign_with(keys);
        assert_eq!(made_by(&site, "run"), Anew::Nothing, "{keys}");
    }
    let another = "key-file = \"keys/publish-b.secret.asc\"";
    let both = "key-file = [\"keys/publish-b.secret.asc\", \"keys/publish-a.secret.asc\"]";
    let other_order = "key-file = [\"keys/publish-a.secret.asc\", \"keys/publish-b.secret.asc\"]";
    for (keys, anew) in [
        (another, Anew::Release),
        (both, Anew::Release),
        (other_order, Anew::Nothing),
        (KEY_A, Anew::Release),
    ] {
        sign_with(keys);
        assert_eq!(made_by(&site, "run"), anew, "{keys}");
        site.ok(&["verify"]);
    }
}

#[test]
fn what_a_suite_does_not_depend_on_makes_nothing_anew() {
    let mut site = Site::published();
    for extra in [
        "[guards]\nmax-shrink = \"1%\"\n",
        "[guards]\nmax-shrink = \"100%\"\n",
        "[merge]\nsuite-timeout = \"5 minutes\"\n",
    ] {
        site.set_extra(extra);
        assert_eq!(made_by(&site, "run"), Anew::Nothing, "{extra}");
    }
    site.set_extra("");
    site.configure(
        "pool-links = false",
        "pool-links = false\nby-hash = { generations = 1, days = 0 }",
    );
    assert_eq!(made_by(&site, "run"), Anew::Nothing);
    // Other settings do: the same lines tell them apart.
    site.configure(
        "pool-links = false",
        "pool-links = false\nvalid-for = \"30 days\"",
    );
    assert_eq!(made_by(&site, "run"), Anew::Release);
    site.set_extra("[bans]\npackages = [\"overlay-only\"]\n");
    assert_eq!(made_by(&site, "run"), Anew::Indices);
}
