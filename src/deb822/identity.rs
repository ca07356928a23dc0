//! The identity of a suite in its Release: the fields that a merged suite takes over from its first archive, and the fields whose change
//! makes every apt stop until a person agrees.
//!
//! apt compares each new Release of a source with the last one that it took (`Acquire::AllowReleaseInfoChange`). It asks a person about
//! Origin, Label and Codename, and about the priority that the suite's packages get without a preference ("DefaultPin": 500; 1 with
//! NotAutomatic; 100 with ButAutomaticUpgrades as well). Version and Suite may change unasked. So [`change`] compares these fields, and
//! both places that take a Release over call it: the fetch of an archive, and the publishing of a merged suite. A test compares the list
//! with the apt that is installed.
//!
//! The inherited fields go into a text that aptmerge signs, so `inherited` bounds them: longer fields are refused when they are fetched,
//! and blanks at the ends of lines, which signatures do not cover, are removed.

use super::Release;

/// Fields that a merged suite has from its first archive unless the configuration sets them.
const INHERITED: [&str; 8] = [
    "Origin",
    "Label",
    "Suite",
    "Version",
    "Codename",
    "NotAutomatic",
    "ButAutomaticUpgrades",
    "Description",
];

/// The most bytes that such a field may have: real ones have less than a hundred, and GnuPG signs no line of 20,000.
const MAX_FIELD_BYTES: usize = 4096;

/// A field that is too long to be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its {field} has {bytes} bytes, more than the {MAX_FIELD_BYTES} that a field may have which merged suites take over"
)]
pub struct LongField {
    field: &'static str,
    bytes: usize,
}

/// Returns the fields that a merged suite takes over.
pub(crate) fn inherited(release: &Release) -> Result<Vec<(String, String)>, LongField> {
    let mut fields = Vec::new();
    for field in INHERITED {
        let Some(value) = release.field(field) else {
            continue;
        };
        if value.len() > MAX_FIELD_BYTES {
            let bytes = value.len();
            return Err(LongField { field, bytes });
        }
        let lines: Vec<&str> = value
            .lines()
            .map(|line| line.trim_end_matches([' ', '\t']))
            .collect();
        fields.push((field.to_owned(), lines.join("\n")));
    }
    Ok(fields)
}

/// A change that apt asks a person about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field.
    pub field: &'static str,
    /// Its value before, empty if there was none.
    pub from: String,
    /// Its value after.
    pub to: String,
}

/// Returns the first change that apt asks a person about. Both functions return the value of a field.
pub fn change<'a>(
    before: impl Fn(&'static str) -> Option<&'a str>,
    after: impl Fn(&'static str) -> Option<&'a str>,
) -> Option<Change> {
    let changed = |field: &'static str| {
        let value = |of: Option<&str>| of.unwrap_or_default().to_owned();
        let (from, to) = (value(before(field)), value(after(field)));
        (from != to).then_some(Change { field, from, to })
    };
    let named = ["Origin", "Label", "Codename"].into_iter();
    named.filter_map(changed).next().or_else(|| {
        let same = priority(&before) == priority(&after);
        let of_priority = ["NotAutomatic", "ButAutomaticUpgrades"].into_iter();
        of_priority.filter_map(changed).next().filter(|_| !same)
    })
}

/// A flag as apt understands it.
#[derive(PartialEq, Eq)]
enum Flag<'a> {
    No,
    Yes,
    /// A word that apt does not know: it equals only itself.
    Other(&'a str),
}

/// Returns the flags that decide on a suite's priority.
fn priority<'a>(field: impl Fn(&'static str) -> Option<&'a str>) -> (Flag<'a>, Flag<'a>) {
    let flag = |name| {
        let value = field(name).unwrap_or_default();
        let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        match value {
            _ if is(&["", "0", "no", "false", "without", "off", "disable"]) => Flag::No,
            _ if is(&["1", "yes", "true", "with", "on", "enable"]) => Flag::Yes,
            other => Flag::Other(other),
        }
    };
    match flag("NotAutomatic") {
        // Without `NotAutomatic`, `ButAutomaticUpgrades` has no effect.
        Flag::No => (Flag::No, Flag::No),
        not_automatic => (not_automatic, flag("ButAutomaticUpgrades")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn release(fields: &str) -> Release {
        let text = format!("{fields}Date: Sat, 09 May 2026 10:21:35 UTC\nSHA256:\n");
        Release::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn apt_asks_about_names_and_about_the_priority() {
        for (before, after, field) in [
            ("Origin: a\n", "Origin: b\n", Some("Origin")),
            ("Origin: a\n", "", Some("Origin")),
            ("", "Label: a\n", Some("Label")),
            ("Codename: a\n", "Codename: b\n", Some("Codename")),
            ("Suite: a\nVersion: 1\n", "Suite: b\nVersion: 2\n", None),
            ("Description: a\n", "", None),
            ("", "NotAutomatic: yes\n", Some("NotAutomatic")),
            ("NotAutomatic: yes\n", "NotAutomatic: TRUE\n", None),
            ("", "NotAutomatic: off\n", None),
            ("", "ButAutomaticUpgrades: yes\n", None),
            (
                "NotAutomatic: yes\n",
                "NotAutomatic: yes\nButAutomaticUpgrades: 1\n",
                Some("ButAutomaticUpgrades"),
            ),
        ] {
            let (old, new) = (release(before), release(after));
            let found = change(|field| old.field(field), |field| new.field(field));
            assert_eq!(found.map(|c| c.field), field, "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_is_taken_over_can_be_signed() {
        let fields = inherited(&release("Origin: a \t\nDescription: b \t\n c \n  d\n")).unwrap();
        let description = &fields.last().unwrap().1;
        assert_eq!(description, "b\n c\n  d");
        assert_eq!(fields[0].1, "a");
        let long = format!("Label: {}\n", "x".repeat(30_000));
        let error = inherited(&release(&long)).unwrap_err().to_string();
        assert!(error.contains("its Label has 30000 bytes"), "{error}");
    }
}
