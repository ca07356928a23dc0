//! Shows that a run killed at any moment leaves what is served wholly old or wholly new, and that the next one converges.
//!
//! `APTMERGE_KILL_POINTS` says at how many system calls of each step the run is killed; `scripts/kill-points` sets it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::programs::has;
use crate::common::site::{
    APTMERGE, Contents, Site, can_trace, content_without_dates, contents, differing, raised_overlay,
};

/// The system calls that change what is on disk and do so under a name of their own.
const MUTATING: &[&str] = &[
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fchmod",
    "utimensat",
];

const FIRST: &str = "2026-02-01T00:00:00Z";
const SECOND: &str = "2026-02-02T00:00:00Z";
const THIRD: &str = "2026-02-03T00:00:00Z";

/// How many system calls of each step are tried.
fn points_of_a_step() -> usize {
    match std::env::var("APTMERGE_KILL_POINTS") {
        Ok(points) => points.parse().unwrap(),
        Err(_) => 3,
    }
}

/// A site that pushes to a directory beside it, if there is rsync.
fn new_site() -> Site {
    let mut site = Site::new("");
    if has("rsync") {
        let target = site.path().join("target");
        site.set_extra(&format!(
            "[[push]]\nname = \"near\"\nrsync = \"{}\"\n",
            target.display()
        ));
    }
    site
}

/// A system call to kill the run at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    syscall: String,
    /// Which one of that kind, in the thread that makes it.
    nth: usize,
    /// The step in which an undisturbed run makes it.
    step: String,
    /// It, as strace shows it.
    line: String,
}

fn strace(site: &Site, trace: &Path, options: &[String], clock: &str) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-s", "4096", "-o"])
        .arg(trace)
        .args(options)
        .arg("--")
        .arg(APTMERGE)
        .arg("--config")
        .arg(site.config())
        .args(["run", "-v", "--lock-wait", "60", "--clock", clock])
        .env_remove("APTMERGE_CONFIG")
        .stdin(Stdio::null());
    command
}

/// Every mutating system call of an undisturbed run.
fn trace(site: &Site, clock: &str) -> Vec<Point> {
    let out = site.path().join("trace");
    let calls: Vec<_> = MUTATING.iter().map(|call| format!("?{call}")).collect();
    let options = ["-e".into(), format!("trace=write,{}", calls.join(","))];
    let output = strace(site, &out, &options, clock).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut step = "open".to_owned();
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in fs::read_to_string(&out).unwrap().lines() {
        let Some((pid, call)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = call.trim_start().split_once('(') else {
            continue; // the second half of a call that another one interrupted
        };
        if let Some(new) = arguments.strip_prefix("2, \"step: ") {
            step = new.split('"').next().unwrap().to_owned();
        }
        if MUTATING.contains(&name) {
            let nth = seen.entry((pid.to_owned(), name.to_owned())).or_default();
            *nth += 1;
            points.push(Point {
                syscall: name.to_owned(),
                nth: *nth,
                step: step.clone(),
                line: line.to_owned(),
            });
        }
    }
    assert!(!points.is_empty());
    points
}

/// Some of them: of each step the first, the last, and others evenly between.
fn spread(points: &[Point], of_a_step: usize) -> Vec<Point> {
    let mut steps: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
    for point in points {
        steps.entry(&point.step).or_default().push(point);
    }
    let mut chosen: BTreeMap<(String, usize), Point> = BTreeMap::new();
    for of_step in steps.values() {
        let last = of_step.len() - 1;
        for n in 0..of_a_step {
            let point = of_step[last * n / (of_a_step - 1).max(1)];
            chosen.insert((point.syscall.clone(), point.nth), point.clone());
        }
    }
    chosen.into_values().collect()
}

/// The last step that a run named on stderr.
fn last_step(stderr: &str) -> String {
    stderr
        .lines()
        .filter_map(|line| line.split("step: ").nth(1))
        .next_back()
        .unwrap_or("open")
        .to_owned()
}

/// Runs, and does something to the first thread that comes to a system call: `fault` is in strace's words.
fn inject(site: &Site, point: &Point, fault: &str, clock: &str) -> Output {
    let (call, nth) = (&point.syscall, point.nth);
    let options = [
        "-e".into(),
        format!("trace={call}"),
        "-e".into(),
        format!("inject={call}:{fault}:when={nth}"),
    ];
    strace(site, &site.path().join("trace"), &options, clock)
        .output()
        .unwrap()
}

/// Runs until the first thread comes to a system call, and kills that process there; says in which step that was.
fn kill_at(site: &Site, point: &Point, clock: &str) -> String {
    let output = inject(site, point, "signal=KILL", clock);
    last_step(&String::from_utf8_lossy(&output.stderr))
}

/// A tree without its signatures, which have a salt in them and differ each time. `verify` looks at those.
fn without_signatures(contents: &Contents) -> Contents {
    let signature: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
    let mut contents = contents.clone();
    for bytes in contents.values_mut() {
        let start = bytes.windows(signature.len()).position(|w| w == signature);
        if let Some(start) = start {
            bytes.truncate(start);
        }
    }
    contents
}

/// What may be served, and what is published in the end.
struct Expected {
    old: Contents,
    new: Contents,
    published: BTreeMap<String, String>,
}

impl Expected {
    /// From a site as it is before a run, and a copy of it that was run undisturbed.
    fn new(before: &Site, after: &Site) -> Expected {
        let served = |site: &Site| match site.served() {
            Some(tree) => contents(&site.root().join(tree)),
            None => Contents::new(),
        };
        let (old, new) = (served(before), served(after));
        assert_ne!(old, new);
        Expected {
            old,
            new: without_signatures(&new),
            published: content_without_dates(&after.root().join("merged-production")),
        }
    }

    /// What must hold right after a kill; says whether the new generation is served.
    #[track_caller]
    fn check_killed(&self, site: &Site, killed: &str) -> bool {
        let Some(tree) = site.served() else {
            assert!(self.old.is_empty(), "{killed}: what was served is gone");
            return false;
        };
        let served = contents(&site.root().join(&tree));
        let unsigned = without_signatures(&served);
        let is_new = unsigned == self.new;
        assert!(
            is_new || (served == self.old && !self.old.is_empty()),
            "{killed}: {} is neither wholly old nor wholly new; it differs from the new in {:?}",
            tree.display(),
            differing(&unsigned, &self.new)
        );
        site.expect(0, &["verify", "--clock", SECOND]);
        is_new
    }

    /// What must hold after the next, undisturbed run.
    #[track_caller]
    fn check_next_run(&self, site: &Site, killed: &str) {
        site.expect(0, &["run", "--lock-wait", "60", "--clock", THIRD]);
        assert_eq!(
            site.served().as_deref(),
            Some(Path::new("merged-production")),
            "{killed}"
        );
        site.expect(0, &["verify", "--clock", THIRD]);
        let production = site.root().join("merged-production");
        let published = content_without_dates(&production);
        let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&published), names(&self.published), "{killed}");
        assert_eq!(published, self.published, "{killed}");
        assert_eq!(site.litter(), Vec::<std::path::PathBuf>::new(), "{killed}");
        assert!(!site.root().join("state/staged.json").exists(), "{killed}");
        let target = site.path().join("target");
        if target.exists() {
            let (pushed, wanted) = (contents(&target), contents(&production));
            assert_eq!(differing(&pushed, &wanted), BTreeSet::new(), "{killed}");
        }
        // Every report is there, and the history has a line for each generation.
        let history = fs::read_to_string(site.root().join("log/amprolla.txt")).unwrap();
        let state = fs::read(site.root().join("state/published.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let generations = state["number"].as_u64().unwrap();
        for n in 1..=generations {
            let lines = history
                .lines()
                .filter(|line| line.contains(&format!(",generation {n},")));
            assert_eq!(lines.count(), 1, "{killed}: {history}");
        }
        assert!(
            site.root().join("log/bannedpackages.txt").exists(),
            "{killed}"
        );
        // And there is nothing left to do.
        let again = site.expect(0, &["run", "-v", "--clock", THIRD]);
        assert!(again.contains("nothing changed"), "{killed}: {again}");
        assert!(!again.contains("pushing"), "{killed}: {again}");
    }
}

/// A site that has published, and whose overlay has something new.
fn site_with_small_change(overlay: &Path) -> Site {
    let mut site = new_site();
    site.expect(0, &["run", "--clock", FIRST]);
    site.set_overlay(overlay);
    site
}

/// Kills the run of copies of a site at a sample of its system calls.
fn kill_everywhere(before: &Site, steps: &[&str]) {
    let after = before.copy();
    let points = trace(&after, SECOND);
    let expected = Expected::new(before, &after);
    let mut hit = BTreeSet::new();
    for point in spread(&points, points_of_a_step()) {
        let site = before.copy();
        let step = kill_at(&site, &point, SECOND);
        let killed = format!("killed in `{step}` at {} {}", point.syscall, point.nth);
        expected.check_killed(&site, &killed);
        expected.check_next_run(&site, &killed);
        hit.insert(step);
    }
    for step in steps {
        assert!(hit.contains(*step), "nothing was killed in {step}: {hit:?}");
    }
}

#[test]
fn a_first_run_killed_anywhere_leaves_nothing_or_all_of_it() {
    if can_trace() {
        let site = new_site();
        kill_everywhere(&site, &["open", "fetch", "merge", "swap", "sync", "record"]);
    }
}

#[test]
fn a_small_change_killed_anywhere_leaves_the_old_or_the_new() {
    if can_trace() {
        let overlay = raised_overlay("1.1");
        let site = site_with_small_change(overlay.path());
        kill_everywhere(
            &site,
            &["recover", "fetch", "merge", "swap", "sync", "record"],
        );
    }
}

#[test]
fn a_push_killed_anywhere_is_made_up_for() {
    if can_trace() && has("rsync") {
        let before = new_site();
        before.expect(0, &["run", "--clock", FIRST]);
        // Everything is published, nothing pushed.
        fs::remove_dir_all(before.path().join("target")).unwrap();
        fs::remove_file(before.root().join("state/push-near.json")).unwrap();
        let after = before.copy();
        let points = trace(&after, SECOND);
        let pushing: Vec<_> = points.into_iter().filter(|p| p.step == "push").collect();
        let production = contents(&before.root().join("merged-production"));
        for point in spread(&pushing, 2 * points_of_a_step()) {
            let site = before.copy();
            kill_at(&site, &point, SECOND);
            assert_eq!(contents(&site.root().join("merged")), production);
            site.expect(0, &["run", "--lock-wait", "60", "--clock", THIRD]);
            assert_eq!(
                contents(&site.path().join("target")),
                production,
                "{point:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_forced_out_around_the_swap_is_told_by_what_is_served() {
    if !can_trace() {
        return;
    }
    let overlay = raised_overlay("1.1");
    let before = site_with_small_change(overlay.path());
    let points = trace(&before.copy(), SECOND);
    let old = before.served().unwrap();
    let old = contents(&before.root().join(old));
    let around =
        |point: &&Point| point.syscall == "fsync" && (point.step == "swap" || point.step == "sync");
    let mut codes = BTreeSet::new();
    for point in points.iter().filter(around).take(8) {
        let site = before.copy();
        let output = inject(&site, point, "error=EIO", SECOND);
        let told = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        let is_old = contents(&site.root().join(site.served().unwrap())) == old;
        assert_eq!(code, if is_old { 1 } else { 4 }, "{point:?}: {told}");
        assert!(told.contains("Input/output error"), "{told}");
        codes.insert(code);
        site.expect(0, &["run", "--clock", THIRD]);
        site.expect(0, &["verify", "--clock", THIRD]);
    }
    assert!(codes.contains(&4), "{codes:?}");
}

#[test]
fn the_swap_is_one_rename() {
    if !can_trace() {
        return;
    }
    let overlay = raised_overlay("1.1");
    let before = site_with_small_change(overlay.path());
    let after = before.copy();
    let points = trace(&after, SECOND);
    let expected = Expected::new(&before, &after);
    let swaps: Vec<_> = points
        .iter()
        .enumerate()
        .filter(|(_, p)| p.syscall.starts_with("rename") && p.line.contains("/merged\""))
        .collect();
    let [(swap, _), (back, _)] = swaps[..] else {
        panic!("{swaps:?}");
    };
    // The rename itself is not reached when the process is killed at its entry.
    for (at, is_new, tree) in [
        (swap - 1, false, "merged-production"),
        (swap, false, "merged-production"),
        (swap + 1, true, "merged-volatile"),
        (back - 1, true, "merged-volatile"),
        (back, true, "merged-volatile"),
        (back + 1, true, "merged-production"),
    ] {
        let point = &points[at];
        let site = before.copy();
        kill_at(&site, point, SECOND);
        let killed = format!("killed at {}", point.line);
        assert_eq!(site.served().as_deref(), Some(Path::new(tree)), "{killed}");
        assert_eq!(expected.check_killed(&site, &killed), is_new, "{killed}");
        expected.check_next_run(&site, &killed);
    }
}

#[test]
fn a_recovery_killed_anywhere_goes_on_serving_the_new() {
    if !can_trace() {
        return;
    }
    let overlay = raised_overlay("1.1");
    let before = site_with_small_change(overlay.path());
    let after = before.copy();
    let points = trace(&after, SECOND);
    let expected = Expected::new(&before, &after);
    // The first call after the swap: volatile is served, and nothing of production has been touched.
    let first = points.iter().position(|p| p.step == "sync").unwrap();
    let died = before.copy();
    kill_at(&died, &points[first], SECOND);
    assert_eq!(died.served().as_deref(), Some(Path::new("merged-volatile")));
    let recovered = died.copy();
    let points = trace(&recovered, THIRD);
    let recovery: Vec<_> = points.into_iter().filter(|p| p.step == "recover").collect();
    assert!(recovery.len() > 4, "{recovery:?}");
    for point in spread(&recovery, 3 * points_of_a_step()) {
        let site = died.copy();
        let step = kill_at(&site, &point, THIRD);
        let killed = format!("killed in `{step}` at {}", point.line);
        assert!(expected.check_killed(&site, &killed), "{killed}");
        expected.check_next_run(&site, &killed);
    }
}

#[test]
fn a_kill_as_a_step_begins_is_made_up_for() {
    let overlay = raised_overlay("1.1");
    let before = site_with_small_change(overlay.path());
    let after = before.copy();
    after.expect(0, &["run", "--clock", SECOND]);
    let expected = Expected::new(&before, &after);
    for step in [
        "recover", "fetch", "merge", "check", "swap", "sync", "push", "record",
    ] {
        let site = before.copy();
        let mut child = site
            .aptmerge(&["run", "-v", "--clock", SECOND])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let wanted = format!("step: {step}");
        let reached = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .any(|line| line.ends_with(&wanted));
        let _ = child.kill();
        child.wait().unwrap();
        assert!(reached, "no {wanted}");
        let killed = format!("killed as `{step}` began");
        let is_new = expected.check_killed(&site, &killed);
        if ["push", "record"].contains(&step) {
            assert!(is_new, "{killed}");
        }
        expected.check_next_run(&site, &killed);
    }
}

#[test]
fn a_scratch_volatile_is_never_served() {
    // Whatever a run that died before its swap left in volatile, and however it looks, is thrown away.
    let site = new_site();
    site.expect(0, &["run", "--clock", FIRST]);
    let production = contents(&site.root().join("merged-production"));
    let volatile = site.root().join("merged-volatile/dists");
    fs::remove_dir_all(&volatile).unwrap();
    fs::create_dir_all(volatile.join("daedalus")).unwrap();
    fs::write(volatile.join("daedalus/InRelease"), "half").unwrap();
    fs::write(site.root().join("state/staged.json"), "{}").unwrap();
    site.expect(0, &["run", "--clock", SECOND]);
    assert_eq!(contents(&site.root().join("merged")), production);
    let overlay = raised_overlay("1.1");
    let mut site = site;
    site.set_overlay(overlay.path());
    site.expect(0, &["run", "--clock", THIRD]);
    site.expect(0, &["verify", "--clock", THIRD]);
    let volatile = contents(&site.root().join("merged-volatile"));
    assert_eq!(contents(&site.root().join("merged")), volatile);
}
