//! What the configuration may say, and what is said about one that may not: file, line, column, key and a hint.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::programs::{APTMERGE, Said, aptmerge_in, top};

/// Where a change was meant, `UPDATE_SNAPSHOTS=1 cargo test --test it config::` writes the expected texts anew.
fn hold_against(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "{path}\n--- expected\n{expected}--- found\n{found}"
    ))
}

fn fixtures(kind: &str) -> (PathBuf, Vec<String>) {
    let dir = top().join("fixtures/config").join(kind);
    let mut names: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.to_owned()))
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    (dir, names)
}

fn show(dir: &Path, file: &str) -> String {
    let shown = aptmerge_in(dir, &["--config", file, "config", "show"]);
    shown.expect(0, &[]);
    assert_eq!(shown.stderr, "", "{file}");
    shown.stdout
}

#[test]
fn every_wrong_file_is_refused_with_its_place_and_reason() {
    let (dir, names) = fixtures("invalid");
    let mut failures = Vec::new();
    for name in &names {
        let shown = aptmerge_in(&dir, &["--config", name, "config", "show"]);
        let stderr = shown.stderr;
        if shown.code != Some(78) {
            failures.push(format!("{name}: exit {:?}", shown.code));
        }
        if !shown.stdout.is_empty() {
            failures.push(format!("{name}: something on stdout"));
        }
        let place = stderr
            .strip_prefix(&format!("aptmerge: error: {name}:"))
            .and_then(|rest| rest.split_once(": "))
            .and_then(|(place, _)| place.split_once(':'));
        let is_place = |(line, column): (&str, &str)| {
            line.parse::<u32>().is_ok_and(|n| n > 0) && column.parse::<u32>().is_ok_and(|n| n > 0)
        };
        if !place.is_some_and(is_place) {
            failures.push(format!("{name}: no line and column: {stderr}"));
        }
        // What serde says by itself is for programmers.
        for raw in ["invalid type", "missing field", "u32", "expected struct"] {
            if stderr.contains(raw) {
                failures.push(format!("{name}: `{raw}` in {stderr}"));
            }
        }
        if let Err(difference) = hold_against(&dir.join(name).with_extension("stderr"), &stderr) {
            failures.push(difference);
        }
    }
    assert!(names.len() > 60, "{names:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_wrong_file_stops_every_verb_before_it_does_anything() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = top().join("fixtures/config/invalid/doubled-pool.toml");
    fs::copy(wrong, dir.path().join("a.toml")).unwrap();
    for verb in [
        &["run"][..],
        &["fetch"],
        &["merge"],
        &["publish"],
        &["push"],
        &["status"],
        &["explain", "hello"],
        &["verify"],
        &["config", "check"],
        &["config", "redirects"],
        &["lock", "--", "true"],
    ] {
        let said = aptmerge_in(dir.path(), &[&["-c", "a.toml"], verb].concat());
        said.expect(78, &["a.toml:6:8: archives.devuan.pool: "]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let (dir, names) = fixtures("valid");
    let elsewhere = tempfile::tempdir().unwrap();
    for name in &names {
        let once = show(&dir, name);
        // Passwords are not shown, and what stands in their place cannot be read.
        let whole = once.replace("//…@", "//user:secret@");
        fs::write(elsewhere.path().join(name), whole).unwrap();
        assert_eq!(show(elsewhere.path(), name), once, "{name}");
    }
    assert!(names.len() >= 5, "{names:?}");
}

#[test]
fn what_is_shown_is_what_is_meant() {
    let (dir, names) = fixtures("valid");
    let base = format!("\"{}/", dir.display());
    for name in &names {
        let shown = show(&dir, name).replace(&base, "\"BASE/");
        let expected = dir.join(name).with_extension("shown");
        hold_against(&expected, &shown).unwrap();
    }
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let (dir, _) = fixtures("valid");
    let from_there = show(&dir, "minimal.toml");
    let from_root = show(Path::new("/"), dir.join("minimal.toml").to_str().unwrap());
    assert_eq!(from_there, from_root);
    let from_above = show(dir.parent().unwrap(), "valid/minimal.toml");
    assert_eq!(from_there, from_above);
    let root = format!("root = \"{}\"", dir.join("site").display());
    assert!(from_there.contains(&root), "{from_there}");
}

#[test]
fn a_file_that_is_missing_or_unreadable_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("latin1.toml"), b"root = \"\xe4\"\n").unwrap();
    for (file, expected) in [
        ("none.toml", "No such file"),
        (".", "Is a directory"),
        ("latin1.toml", "UTF-8"),
    ] {
        let words = ["cannot read the configuration", file, expected];
        aptmerge_in(dir.path(), &["-c", file, "run"]).expect(78, &words);
    }
}

#[test]
fn the_environment_names_the_file_and_the_option_wins() {
    let (dir, _) = fixtures("valid");
    let run = |variable: &str, arguments: &[&str]| {
        let mut command = Command::new(APTMERGE);
        command.args(arguments).current_dir(&dir);
        Said::of(&command.env("APTMERGE_CONFIG", variable).output().unwrap())
    };
    let said = run("minimal.toml", &["config", "show"]);
    assert_eq!(said.stdout, show(&dir, "minimal.toml"));
    let said = run("none.toml", &["config", "show", "-c", "sketch.toml"]);
    assert_eq!(said.stdout, show(&dir, "sketch.toml"));
    run("none.toml", &["config", "show"]).expect(78, &["none.toml"]);
}

#[test]
fn check_looks_at_the_files_that_the_configuration_names() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    fs::copy(
        top().join("fixtures/config/valid/minimal.toml"),
        dir.path().join("a.toml"),
    )
    .unwrap();
    fs::create_dir(dir.path().join("keyrings")).unwrap();
    let check = || aptmerge_in(dir.path(), &["-c", "a.toml", "config", "check"]);
    let said = check().expect(78, &[]).stdout.clone();
    for expected in [
        "a.toml: archives.devuan.signed-by: ",
        "a.toml: archives.debian.signed-by: ",
        "a.toml: signing: ",
        "keyrings/debian.gpg",
        "signing.key",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let keys = top().join("fixtures/keys");
    fs::copy(
        keys.join("main.gpg"),
        dir.path().join("keyrings/debian.gpg"),
    )
    .unwrap();
    fs::copy(
        keys.join("overlay.asc"),
        dir.path().join("keyrings/devuan.gpg"),
    )
    .unwrap();
    let key = dir.path().join("signing.key");
    fs::copy(keys.join("publish-a.secret.asc"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = check().expect(78, &[]).stdout.clone();
    assert!(
        said.contains("signing.key") && !said.contains("signed-by"),
        "{said}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check().expect(0, &[]).stdout, "a.toml: good\n");
}

#[test]
fn help_is_what_it_was() {
    let dir = top().join("tests/it/snapshots");
    let mut failures = Vec::new();
    for verb in [
        &[][..],
        &["run"],
        &["fetch"],
        &["merge"],
        &["publish"],
        &["push"],
        &["status"],
        &["history"],
        &["explain"],
        &["verify"],
        &["repository"],
        &["repository", "create"],
        &["repository", "show"],
        &["repository", "add"],
        &["repository", "edit"],
        &["repository", "rename"],
        &["repository", "drop"],
        &["repository", "remove"],
        &["repository", "copy"],
        &["repository", "move"],
        &["repository", "retain"],
        &["snapshot"],
        &["snapshot", "create"],
        &["snapshot", "merge"],
        &["snapshot", "filter"],
        &["snapshot", "pull"],
        &["snapshot", "show"],
        &["snapshot", "diff"],
        &["snapshot", "verify"],
        &["snapshot", "rename"],
        &["snapshot", "drop"],
        &["package"],
        &["package", "search"],
        &["package", "show"],
        &["store"],
        &["store", "check"],
        &["store", "backup"],
        &["store", "gc"],
        &["serve"],
        &["config"],
        &["config", "check"],
        &["config", "show"],
        &["config", "redirects"],
        &["lock"],
    ] {
        if verb == ["serve"] && !cfg!(feature = "serve") {
            continue;
        }
        let out = Command::new(APTMERGE)
            .args(verb)
            .arg("--help")
            .env_remove("APTMERGE_CONFIG")
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let said = Said::of(&out);
        assert_eq!(said.expect(0, &[]).stderr, "", "{verb:?}");
        let name = [&["help"], verb].concat().join("-");
        if let Err(difference) = hold_against(&dir.join(format!("{name}.txt")), &said.stdout) {
            failures.push(difference);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_command_line_that_makes_no_sense_is_no_configuration_error() {
    for arguments in [
        &["rnu"][..],
        &["run", "--no-such-flag"],
        &["run", "-q", "-v"],
        &[],
        &["run", "--clock", "noon"],
        &["run", "--lock-wait", "long"],
    ] {
        let said = aptmerge_in(top(), arguments);
        assert_eq!(said.expect(2, &[]).stdout, "", "{arguments:?}");
    }
}

#[test]
fn no_password_of_the_file_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let start = "root = \"site\"\npriority = [\"a\"]\narchitectures = [\"amd64\"]\n[suites.x]\nfrom = { a = \"x\" }\n\
                 [signing]\nkey-file = \"k\"\n[archives.a]\npool = \"A\"\n";
    let good = "signed-by = \"k\"\nuris = [\"https://mirror.example/\"]\n";
    let call = |end: &str, verb: &str| {
        let file = dir.path().join("a.toml");
        fs::write(file, format!("{start}{end}")).unwrap();
        let said = aptmerge_in(dir.path(), &["-c", "a.toml", "config", verb]);
        let all = said.stdout.clone() + &said.stderr;
        assert!(!all.contains("S3CRET"), "{end}: {all}");
        said
    };
    for uri in [
        "https://user:S3CRET@h/",
        "https://user:S3CRET?@h/",
        "https://user:S3CRET#@h/",
        "https://user:S3CRET@h:99999/",
        "https://us@er:S3CRET/a@h/",
        "ftp://user:S3CRET@h/",
        "user:S3CRET@h/",
    ] {
        for end in [
            format!("signed-by = \"k\"\nuris = {uri}"),
            format!("signed-by = \"k\"\nuris = \"{uri}\""),
            format!("signed-by = \"k\"\nuris = [\"{uri}\", 3]"),
            format!("{good}redirect = \"{uri}\""),
            format!("{good}[fetch]\nparallel = \"{uri}\""),
        ] {
            call(&end, "check").expect(78, &["a.toml:"]);
        }
    }
    let private = "signed-by = \"k\"\nuris = [\"https://user:S3CRET@mirror.example/\"]\n";
    let shown = call(private, "show");
    shown.expect(0, &[]);
    let expected = "uris = [\"https://…@mirror.example/\"]";
    assert!(shown.stdout.contains(expected), "{}", shown.stdout);
}
