//! Patches beside indices: each leads from its old index to the present one, the real apt follows by them, and what is lost or
//! too old costs a client no more than the whole index.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::common::apt::{Apt, Server, sha256, succeeded, unxz};
use crate::common::history::History;
use crate::common::programs::has;
use crate::common::site::{DAEDALUS, Site};
use crate::common::state;
use crate::common::upstream::{Suite, xz};

const PACKAGES: &str = "main/binary-amd64/Packages";
const SOURCES: &str = "main/source/Sources";
const TRANSLATION: &str = "main/i18n/Translation-en";
const SUITE: &str = "dists/daedalus";

/// A site of one small suite with a first generation; `pdiff` are the settings of its patches.
fn site(pdiff: &str) -> Site {
    let suite = DAEDALUS.to_owned() + "architectures = [\"amd64\"]\ncomponents = [\"main\"]\n";
    let site = Site::of(&(suite + "[publish.pdiff]\n" + pdiff + "\n"));
    publish(&site, 0);
    site
}

/// Generations are made at fixed times.
fn publish(site: &Site, minute: u32) {
    site.run_at(&format!("2026-03-01T00:{minute:02}:00Z"));
}

/// Lets the overlay have a state that is told apart by `content`, the later the `number`, and publishes it.
fn change(site: &Site, number: u32, content: &str) {
    let date = jiff::Timestamp::from_second(1_767_225_600 + i64::from(number)).unwrap();
    for index in [PACKAGES, SOURCES] {
        site.edit_overlay("daedalus", index, date, |text| {
            let lines = text.split_inclusive('\n').flat_map(|line| {
                let mut lines = vec![line.to_owned()];
                if line.starts_with("X-Content:") {
                    lines.clear();
                } else if line == "Package: overlay-only\n" || line == "Package: twin\n" {
                    lines.push(format!("X-Content: {content}\n"));
                }
                lines
            });
            lines.collect()
        });
    }
    publish(site, number);
}

/// An apt with the packages and the sources of the suite.
fn client(site: &Site, server: &Server) -> Apt {
    let by = site.path("keys/publish.gpg");
    let line = |kind| {
        format!(
            "{kind} [signed-by={}] {} stable main\n",
            by.display(),
            server.url()
        )
    };
    let sources = line("deb") + &line("deb-src");
    let apt = Apt::new(&["amd64"], &sources, "Acquire::Languages \"none\";");
    apt.ok("apt-get", &["update"]);
    apt
}

/// What an apt has fetched, by file name.
fn lists(apt: &Apt) -> BTreeMap<String, Vec<u8>> {
    let mut lists = BTreeMap::new();
    for entry in fs::read_dir(apt.path("state/lists")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("_Packages") || name.ends_with("_Sources") || name.ends_with("_InRelease")
        {
            lists.insert(name, fs::read(path).unwrap());
        }
    }
    assert_eq!(lists.len(), 3, "{:?}", lists.keys());
    lists
}

/// What is logged while something is done.
fn requests(server: &Server, what: impl FnOnce()) -> Vec<String> {
    let before = mark(server);
    what();
    mark(server);
    server.log().split_off(before)
}

/// Makes a request of our own and waits until it is logged, so that all before it are; gives the length of the log.
fn mark(server: &Server) -> usize {
    let number = server.log().len();
    let path = format!("/merged/mark-{number}-");
    server.get(&path);
    let start = Instant::now();
    loop {
        let log = server.log();
        if let Some(at) = log.iter().position(|line| line.contains(&path)) {
            return at + 1;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{log:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for a patch, and for a whole index, of Packages and of Sources.
fn asked(log: &[String]) -> [(usize, usize); 2] {
    ["binary-amd64", "source"].map(|dir| {
        let count = |holds: &dyn Fn(&str) -> bool| log.iter().filter(|line| holds(line)).count();
        let patches = count(&|l| {
            l.contains(&format!("/{dir}/")) && l.contains(".diff/") && l.contains(".gz ")
        });
        let whole = count(&|l| {
            let forms = ["Packages.", "Sources."].map(|index| format!("/{dir}/{index}"));
            let is_plain_name = forms.iter().any(|form| l.contains(form)) && !l.contains(".diff/");
            is_plain_name || l.contains(&format!("/{dir}/by-hash/"))
        });
        (patches, whole)
    })
}

/// Updates by patches only, to what a client has that fetches everything.
#[track_caller]
fn follows(site: &Site, server: &Server, apt: &Apt) {
    let log = requests(server, || {
        apt.ok("apt-get", &["update"]);
    });
    for (patches, whole) in asked(&log) {
        assert!(patches > 0, "no patch was fetched: {log:#?}");
        assert_eq!(whole, 0, "a whole index was fetched: {log:#?}");
    }
    let lists_of_diff = log.iter().filter(|l| l.contains(".diff/by-hash/")).count();
    assert!(lists_of_diff >= 2, "{log:#?}");
    assert!(
        !log.iter()
            .any(|l| l.contains(" 404") && !l.contains("/mark-")),
        "{log:#?}"
    );
    assert!(lists(apt) == lists(&client(site, server)));
}

/// Updates without any patch, to the same.
#[track_caller]
fn falls_back(site: &Site, server: &Server, apt: &Apt) {
    let log = requests(server, || {
        apt.ok("apt-get", &["update"]);
    });
    for (patches, whole) in asked(&log) {
        assert_eq!(patches, 0, "{log:#?}");
        assert!(whole > 0, "{log:#?}");
    }
    assert!(lists(apt) == lists(&client(site, server)));
}

fn has_apt() -> bool {
    has("apt-get")
}

#[test]
fn apt_follows_by_patches_from_the_last_generation_and_from_earlier_ones() {
    if !has_apt() {
        return;
    }
    let site = site("patches = 3");
    let server = site.serve();
    let (often, seldom, too_old) = (
        client(&site, &server),
        client(&site, &server),
        client(&site, &server),
    );
    for number in 1..=3 {
        change(&site, number, &format!("{number}"));
        follows(&site, &server, &often);
    }
    follows(&site, &server, &seldom);
    change(&site, 4, "4");
    // Its state is the fourth before this one, and three are kept.
    falls_back(&site, &server, &too_old);
    follows(&site, &server, &often);
    follows(&site, &server, &seldom);
}

#[test]
fn apt_follows_when_a_state_comes_back() {
    if !has_apt() {
        return;
    }
    let site = site("");
    change(&site, 1, "a");
    let server = site.serve();
    let (every, at_a) = (client(&site, &server), client(&site, &server));
    change(&site, 2, "b");
    follows(&site, &server, &every);
    let at_b = client(&site, &server);
    change(&site, 3, "a");
    follows(&site, &server, &every);
    follows(&site, &server, &at_b);
    // It had this very state all the time, so there is nothing to fetch but the Release.
    let log = requests(&server, || {
        at_a.ok("apt-get", &["update"]);
    });
    assert_eq!(asked(&log), [(0, 0), (0, 0)], "{log:#?}");
    let at_b = Some(at_b);
    change(&site, 4, "c");
    for apt in [&every, &at_a].into_iter().chain(&at_b) {
        follows(&site, &server, apt);
    }
}

#[test]
fn apt_follows_after_cache_and_state_were_lost() {
    if !has_apt() {
        return;
    }
    let site = site("");
    let server = site.serve();
    let (often, seldom) = (client(&site, &server), client(&site, &server));
    for (number, lost) in [(1, "cache"), (2, "state"), (3, "spool"), (4, "log")] {
        fs::remove_dir_all(site.path("site").join(lost)).unwrap();
        change(&site, number, lost);
        follows(&site, &server, &often);
    }
    follows(&site, &server, &seldom);
}

/// Changes a description of the overlay.
fn describe(site: &Site, number: u32) {
    let date = UNIX_EPOCH + Duration::from_secs(1_767_225_600 + u64::from(number));
    let mut overlay = Suite::open(site, "overlay", "daedalus");
    let before = unxz(&overlay.dir.join(format!("{TRANSLATION}.xz")));
    let begin = "Description-en: fixture overlay-only\n";
    let text = before.replace(begin, &format!("{begin} The text number {number}.\n"));
    assert_ne!(text, before);
    overlay.list(TRANSLATION, text.as_bytes());
    overlay.put(&format!("{TRANSLATION}.xz"), &xz(text.as_bytes()));
    overlay.unlist(&format!("{TRANSLATION}.bz2"));
    let time = jiff::Timestamp::try_from(date).unwrap();
    let time = time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
    overlay.set("Date", &time);
    overlay.sign_at(date);
    publish(site, number);
}

#[test]
fn apt_follows_descriptions_by_patches() {
    if !has_apt() {
        return;
    }
    let site = site("patches = 9");
    let families = "indices = [\"packages\", \"sources\", \"translations\"]\nroot = ";
    site.configure("root = ", families);
    publish(&site, 1);
    let server = site.serve();
    let client = || {
        let by = site.path("keys/publish.gpg");
        let (by, url) = (by.display(), server.url());
        let sources = format!("deb [signed-by={by}] {url} stable main\n");
        let apt = Apt::new(&["amd64"], &sources, "Acquire::Languages \"en\";");
        apt.ok("apt-get", &["update"]);
        apt
    };
    let (often, seldom) = (client(), client());
    let mut known = BTreeMap::new();
    for number in 2..=4 {
        note(&site.merged(""), &mut known);
        if number == 4 {
            // The old index is read where its outline is not in the cache.
            fs::remove_dir_all(site.path("site/cache")).unwrap();
        }
        describe(&site, number);
        let clients = [Some(&often), (number == 4).then_some(&seldom)];
        for apt in clients.into_iter().flatten() {
            let log = requests(&server, || {
                apt.ok("apt-get", &["update"]);
            });
            let count = |part: &str| log.iter().filter(|line| line.contains(part)).count();
            assert_eq!(count("/i18n/Translation-en.diff/T-"), 1, "{log:#?}");
            assert_eq!(count("/i18n/by-hash/"), 0, "{log:#?}");
            assert_eq!(count("/i18n/Translation-en."), 2, "{log:#?}");
            let shown = apt.ok("apt-cache", &["show", "overlay-only"]);
            assert!(
                shown.contains(&format!("The text number {number}.")),
                "{shown}"
            );
        }
    }
    assert_eq!(apply_all(&site.merged(""), &known, false), 3);
    site.ok(&["verify"]);
}

/// A list of patches as it is served.
#[derive(Debug, Default)]
struct List {
    current: String,
    /// Old index, script, and file, each by its hash; and the name.
    entries: Vec<[String; 4]>,
}

fn list(index: &Path) -> List {
    let text = fs::read_to_string(index).unwrap();
    let mut list = List::default();
    let mut columns: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut field = "";
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix(' ') {
            let mut words = entry.split_whitespace();
            let hash = words.next().unwrap().to_owned();
            let name = words.nth(1).unwrap().to_owned();
            columns.entry(field).or_default().push((hash, name));
        } else if let Some(current) = line.strip_prefix("SHA256-Current: ") {
            list.current = current.split(' ').next().unwrap().to_owned();
        } else {
            field = line.split(':').next().unwrap();
        }
    }
    let of = |field: &str| columns.get(field).cloned().unwrap_or_default();
    let (old, scripts, files) = (
        of("SHA256-History"),
        of("SHA256-Patches"),
        of("SHA256-Download"),
    );
    assert_eq!([old.len(), scripts.len()], [files.len(); 2], "{text}");
    for (((old, name), (script, same)), (file, packed)) in old.into_iter().zip(scripts).zip(files) {
        assert_eq!(name, same);
        assert_eq!(packed, format!("{name}.gz"));
        list.entries.push([old, script, file, packed]);
    }
    list
}

/// What ed makes of a text; this knows the commands `a`, `c` and `d`.
fn edited(old: &str, script: &str) -> String {
    let mut lines: Vec<&str> = old.split_inclusive('\n').collect();
    let mut rest = script.split_inclusive('\n');
    while let Some(command) = rest.next() {
        let command = command.trim_end();
        let (range, kind) = command.split_at(command.len() - 1);
        let (first, last) = range.split_once(',').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let inserted: Vec<&str> = match kind {
            "d" => Vec::new(),
            _ => rest.by_ref().take_while(|line| *line != ".\n").collect(),
        };
        let replaced = match kind {
            "a" => first..first,
            "c" | "d" => first - 1..last,
            _ => panic!("{command}"),
        };
        lines.splice(replaced, inserted);
    }
    lines.concat()
}

/// What patch(1) makes of a text.
fn patched(old: &str, script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, old).unwrap();
    let mut child = Command::new("patch")
        .args(["--ed", "--silent"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    succeeded(&child.wait_with_output().unwrap(), &["patch", "--ed"]);
    fs::read_to_string(file).unwrap()
}

/// Applies every patch of a tree to the index that it begins at, of those that are known; gives how many there are.
fn apply_all(tree: &Path, known: &BTreeMap<String, String>, with_patch: bool) -> usize {
    let mut applied = 0;
    for index in indices_of_patches(tree) {
        let list = list(&index);
        let dir = index.parent().unwrap();
        let release = fs::read_to_string(suite_of(dir).join("Release")).unwrap();
        assert!(
            release.contains(&sha256(&fs::read(&index).unwrap())),
            "{}",
            index.display()
        );
        // The present index is the one that the Release lists.
        assert!(release.contains(&list.current), "{}", index.display());
        for [old, script, file, name] in &list.entries {
            let packed = fs::read(dir.join(name)).unwrap();
            assert_eq!(sha256(&packed), *file, "{name}");
            let mut text = String::new();
            flate2::read::GzDecoder::new(&packed[..])
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(sha256(text.as_bytes()), *script, "{name}");
            let old = known.get(old).expect("only what was published is patched");
            let new = edited(old, &text);
            assert_eq!(sha256(new.as_bytes()), list.current, "{name}: {text}");
            if with_patch {
                assert_eq!(patched(old, &text), new, "{name}");
            }
            applied += 1;
        }
    }
    applied
}

fn indices_of_patches(tree: &Path) -> Vec<PathBuf> {
    let files = crate::common::site::files(&tree.join("dists")).into_iter();
    files
        .filter(|f| f.ends_with("Index") && f.is_file() && f.to_string_lossy().contains(".diff/"))
        .collect()
}

/// The directory above that has a Release with hashes.
fn suite_of(dir: &Path) -> &Path {
    let mut above = dir.ancestors();
    above.find(|dir| dir.join("InRelease").exists()).unwrap()
}

/// Adds the indices of a tree, by the hash of their text.
fn note(tree: &Path, known: &mut BTreeMap<String, String>) {
    for path in crate::common::site::files(&tree.join("dists")) {
        let is = |name: &str| path.file_name().is_some_and(|n| n == name);
        if is("Packages.xz") || is("Sources.xz") || is("Translation-en.xz") {
            let text = unxz(&path);
            known.insert(sha256(text.as_bytes()), text);
        }
    }
}

#[test]
fn every_patch_of_a_history_leads_to_the_present_index() {
    let with_patch = has("patch") && has("ed");
    let mut applied = 0;
    for seed in [21, 22] {
        let mut history = History::new(seed);
        history.settings.families = vec!["sources"];
        history.settings.extra = "[publish.pdiff]\npatches = 5\n".into();
        let tree = history.path("site/merged-production");
        let mut known = BTreeMap::new();
        for step in 0..9 {
            history.json("site", &["run"]);
            note(&tree, &mut known);
            applied += apply_all(&tree, &known, with_patch && step % 3 == 2);
            for _ in 0..3 {
                history.change_archives();
            }
            history.pass();
            history.write();
        }
        history.json("site", &["verify"]);
    }
    assert!(applied > 100, "{applied} patches show nothing");
}

#[test]
fn patches_of_an_earlier_list_stay_and_damage_is_found() {
    let site = site("patches = 2");
    let diff = format!("{SUITE}/{PACKAGES}.diff");
    let mut seen: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for number in 1..=4 {
        change(&site, number, &format!("{number}"));
        let entries = list(&site.merged(&format!("{diff}/Index"))).entries;
        assert_eq!(entries.len(), (number as usize).min(2));
        for [_, _, _, name] in entries {
            let path = site.merged(&diff).join(name);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(*seen.entry(path).or_insert_with(|| bytes.clone()), bytes);
        }
        // Whoever has read an earlier list finds what it names.
        for (path, bytes) in &seen {
            assert_eq!(
                fs::read(path).ok().as_ref(),
                Some(bytes),
                "{}",
                path.display()
            );
        }
    }
    assert_eq!(seen.len(), 7);
    site.ok(&["verify"]);
    let [_, _, _, name] = list(&site.merged(&format!("{diff}/Index"))).entries[0].clone();
    let path = site.merged(&diff).join(name);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [Some(&flipped[..]), Some(&whole[..10]), None] {
        fs::remove_file(&path).unwrap();
        if let Some(bytes) = damaged {
            fs::write(&path, bytes).unwrap();
        }
        let text = site.expect(1, &["verify"]);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(name), "{text}");
        fs::write(&path, &whole).unwrap();
    }
    site.ok(&["verify"]);
}

/// How many patches the Packages have; `None` if the Release lists no list of them.
fn patches(site: &Site) -> Option<usize> {
    let release = fs::read_to_string(site.merged(&format!("{SUITE}/Release"))).unwrap();
    let path = format!("{PACKAGES}.diff/Index");
    let is_listed = release
        .lines()
        .any(|line| line.ends_with(&format!(" {path}")));
    let file = site.merged(&format!("{SUITE}/{path}"));
    assert_eq!(is_listed, file.exists());
    is_listed.then(|| list(&file).entries.len())
}

#[test]
fn the_length_of_the_history_is_heeded_at_once() {
    let none = site("patches = 0");
    change(&none, 1, "1");
    assert_eq!(patches(&none), None);
    let site = site("patches = 9");
    assert_eq!(patches(&site), None);
    for number in 1..=4 {
        change(&site, number, &format!("{number}"));
    }
    assert_eq!(patches(&site), Some(4));
    // No index changes, and all the same the list is as long as it is to be.
    site.configure("patches = 9", "patches = 2");
    publish(&site, 10);
    assert_eq!(patches(&site), Some(2));
    let newest = list(&site.merged(&format!("{SUITE}/{PACKAGES}.diff/Index")));
    change(&site, 11, "11");
    let entries = list(&site.merged(&format!("{SUITE}/{PACKAGES}.diff/Index"))).entries;
    assert_eq!(entries.len(), 2);
    assert_eq!(
        [&entries[0][0], &entries[1][0]],
        [&newest.entries[1][0], &newest.current]
    );
    site.configure("patches = 2", "patches = 0");
    publish(&site, 12);
    assert_eq!(patches(&site), None);
    change(&site, 13, "13");
    assert_eq!(patches(&site), None);
    site.configure("patches = 0", "patches = 9\nmax-size = \"1 B\"");
    change(&site, 14, "14");
    assert_eq!(patches(&site), None, "none is so small");
    site.configure("max-size = \"1 B\"", "");
    change(&site, 15, "15");
    assert_eq!(patches(&site), Some(1));
    site.ok(&["verify"]);
}

#[test]
fn a_lost_or_damaged_patch_is_left_out_and_nothing_else() {
    let site = site("patches = 9");
    for number in 1..=3 {
        change(&site, number, &format!("{number}"));
    }
    let dir = format!("{SUITE}/{PACKAGES}.diff");
    for (number, damage) in [(4, false), (5, true), (6, true)] {
        let index = site.merged(&format!("{dir}/Index"));
        let oldest = list(&index).entries[0][3].clone();
        let path = site.merged(&dir).join(oldest);
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // A run would bring it back from another file with the same bytes, if there were a record of it.
        state::forget_manifests(&site.root());
        if damage {
            bytes[15] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        if number == 6 {
            // No index changes, so every patch but the damaged one is carried on.
            site.configure("patches = 9", "patches = 8");
            publish(&site, number);
            assert_eq!(patches(&site), Some(2));
        } else {
            change(&site, number, &format!("{number}"));
            // One went, and one came.
            assert_eq!(patches(&site), Some(3));
        }
        site.ok(&["verify"]);
    }
}

/// The one entry of a kind in the cache for a file that is served, by the file's hash.
fn cache_entry(site: &Site, kind: &str, name: &str) -> PathBuf {
    site.path("site/cache")
        .join(kind)
        .join(&name[..2])
        .join(name)
}

/// An outline that counts the lines of its first stanza wrongly gave a patch that is wrong, and with it every later one.
#[test]
fn a_wrong_outline_in_the_cache_gives_no_wrong_patch() {
    let site = site("patches = 9");
    let tree = site.merged("");
    let mut known = BTreeMap::new();
    note(&tree, &mut known);
    change(&site, 1, "1");
    note(&tree, &mut known);
    let plain = sha256(site.index(&format!("{SUITE}/{PACKAGES}")).as_bytes());
    state::forge(&cache_entry(&site, "outlines-2", &plain), |packed| {
        let mut notes = zstd::decode_all(packed).unwrap();
        notes[48 + 16] += 1;
        zstd::encode_all(&notes[..], 1).unwrap()
    });
    for number in 2..=3 {
        let date = jiff::Timestamp::from_second(1_767_225_600 + i64::from(number)).unwrap();
        site.edit_overlay("daedalus", PACKAGES, date, |text| {
            text.replace("X-Content: ", &format!("X-Content: {number}"))
        });
        let time = format!("2026-03-01T00:{number:02}:00Z");
        let text = site.expect(0, &["run", "--clock", &time]);
        let warning =
            format!("the outline of {PACKAGES} in the cache was not that of what is served");
        assert_eq!(text.contains(&warning), number == 2, "{text}");
        assert!(apply_all(&tree, &known, false) > 0);
        note(&tree, &mut known);
        let told = site.ok(&["verify"]);
        assert!(!told.contains("0 patches applied"), "{told}");
    }
    assert_eq!(patches(&site), Some(3));
}

/// A patch that leads elsewhere, in a tree that is whole and signed, as an earlier version could publish it.
#[test]
fn verify_applies_the_patches() {
    let site = site("patches = 9");
    change(&site, 1, "1");
    change(&site, 2, "2");
    let told = site.json(&["verify", "--json"]);
    assert_eq!(
        (&told["patches"], &told["patches-without-start"]),
        (&4.into(), &0.into())
    );
    let suite = site.merged(SUITE);
    let diff = suite.join(format!("{PACKAGES}.diff"));
    let [_, script_hash, file_hash, name] = list(&diff.join("Index")).entries[1].clone();
    let packed = fs::read(diff.join(&name)).unwrap();
    let mut script = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut script)
        .unwrap();
    // The same change, one line further down.
    let digits = script.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = script[..digits].parse().unwrap();
    let moved = script.replacen(&number.to_string(), &(number + 1).to_string(), 1);
    let mut forged = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    forged.write_all(moved.as_bytes()).unwrap();
    let forged = forged.finish().unwrap();
    let replace = |path: &Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    replace(&diff.join(&name), &forged);
    let index = fs::read_to_string(diff.join("Index")).unwrap();
    let size = |bytes: &[u8]| format!(" {} ", bytes.len());
    let lines = index.lines().map(|line| {
        let line = line.replace(&script_hash, &sha256(moved.as_bytes()));
        match line.contains(&file_hash) {
            true => line
                .replace(&file_hash, &sha256(&forged))
                .replace(&size(&packed), &size(&forged)),
            false => line.replace(&size(script.as_bytes()), &size(moved.as_bytes())),
        }
    });
    let text = lines.map(|line| line + "\n").collect::<String>();
    replace(&diff.join("Index"), text.as_bytes());
    let release = fs::read_to_string(suite.join("Release")).unwrap();
    let path = format!("{PACKAGES}.diff/Index");
    let lines = release
        .lines()
        .filter_map(|line| match line.ends_with(&format!(" {path}")) {
            true if line.split_whitespace().next().unwrap().len() == 64 => Some(format!(
                " {} {} {path}\n",
                sha256(text.as_bytes()),
                text.len()
            )),
            true => None,
            false => Some(format!("{line}\n")),
        });
    let release: String = lines.collect();
    fs::write(
        diff.join(format!("by-hash/SHA256/{}", sha256(text.as_bytes()))),
        &text,
    )
    .unwrap();
    let keys = ["a", "b"].map(|key| site.path(format!("keys/publish-{key}.secret.asc")));
    let signer = aptmerge::openpgp::Signer::key_files(&keys).unwrap();
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_400_000);
    let signed = signer.sign(release.as_bytes(), at).unwrap();
    replace(&suite.join("Release"), release.as_bytes());
    replace(&suite.join("Release.gpg"), &signed.detached);
    replace(&suite.join("InRelease"), &signed.inline);
    let told = site.expect(1, &["verify"]);
    assert!(
        told.contains(&format!("{name}: it does not make the present index of ")),
        "{told}"
    );
    // Nor is it carried on: a run puts the patch that is on record back in its place.
    change(&site, 10, "10");
    assert_eq!(patches(&site), Some(3));
    site.ok(&["verify"]);
}

/// A piece of other content than its name says, with a checksum that is right, ended every run until somebody said --rebuild.
#[test]
fn a_wrong_piece_in_the_cache_costs_one_run_some_time() {
    let site = site("patches = 9");
    change(&site, 1, "first");
    change(&site, 2, "second");
    let pieces: Vec<PathBuf> = crate::common::site::files(&site.path("site/cache"))
        .into_iter()
        .filter(|path| path.is_file() && path.to_string_lossy().contains("/cache/xz-"))
        .collect();
    assert!(!pieces.is_empty());
    for piece in &pieces {
        state::forge(piece, |content| {
            let mut content = content.to_vec();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            content
        });
    }
    // A state comes back whose pieces are in the cache; the second time they are right.
    for (number, from, to) in [
        (3, "second", "first"),
        (4, "first", "other"),
        (5, "other", "first"),
    ] {
        let date = jiff::Timestamp::from_second(1_767_225_600 + i64::from(number)).unwrap();
        for index in [PACKAGES, SOURCES] {
            let (from, to) = (format!("X-Content: {from}"), format!("X-Content: {to}"));
            site.edit_overlay("daedalus", index, date, |text| text.replace(&from, &to));
        }
        let time = format!("2026-03-01T00:{number:02}:00Z");
        let text = site.expect(0, &["run", "--clock", &time]);
        for word in [
            "the check before the swap found",
            "was not what it is named by",
        ] {
            assert_eq!(text.contains(word), number == 3, "{text}");
        }
        assert!(
            site.index(&format!("{SUITE}/{PACKAGES}"))
                .contains(&format!("X-Content: {to}"))
        );
        site.ok(&["verify"]);
    }
}
