//! Paths of package files.

use super::catalogue::{Entry, check, odd, stanza};

const SEEN: &[&str] = &["odd 1.0"];

/// Returns an entry whose file has another name than its path says, where the server that answers finds it.
fn path(name: &str, said: &str, lies: &str) -> Entry {
    let (said, lies) = (said.to_owned(), lies.to_owned());
    odd(name, move |archive| {
        let stanza = archive.binary("odd").replace("pool/odd.deb", &said);
        let file = archive.files.remove("pool/odd.deb").unwrap();
        archive.files.insert(lies.clone(), file);
        archive.packages(stanza);
    })
    .reads(SEEN)
}

/// Returns an entry whose path leads to the file by its very name.
fn name(name: &str, said: &str) -> Entry {
    path(name, said, said)
}

#[test]
fn paths_that_apt_finds() {
    check(vec![
        path("a slash at the front", "/pool/odd.deb", "pool/odd.deb").passes(),
        path("two slashes at the front", "//pool/odd.deb", "pool/odd.deb").passes(),
        path("a dot at the front", "./pool/odd.deb", "pool/odd.deb").passes(),
        path(
            "a dot and slashes at the front",
            ".//pool/odd.deb",
            "pool/odd.deb",
        )
        .passes(),
        path("two slashes within", "pool//odd.deb", "pool/odd.deb").passes(),
        path("a dot within", "pool/./odd.deb", "pool/odd.deb").passes(),
        path("outside of pool", "/extra/odd.deb", "extra/odd.deb").passes(),
        name("beside dists", "odd.deb").passes(),
        name("a blank", "pool/an odd one.deb").passes(),
        name("a tilde and a plus", "pool/~odd+1~.deb").passes(),
        name("UTF-8", "pool/ödd.deb").passes(),
        name("a percent", "pool/odd%20one.deb").passes(),
        name("a percent alone", "pool/100%odd.deb").passes(),
        name("a colon and an equals sign", "pool/a=b/odd_1:2.deb").passes(),
        name("quotes", "pool/'odd\"one.deb").passes(),
        name("brackets", "pool/[odd]{1}(2).deb").passes(),
        name("an ampersand and a semicolon", "pool/odd&one;two,3@4!.deb").passes(),
        name("the name of our own pool", "pool/ODD/_/odd.deb").passes(),
        name("no ending", "pool/odd").passes(),
    ]);
}

#[test]
fn paths_that_are_none() {
    let filename = |value: &str| {
        [
            "Filename: pool/odd.deb\n",
            &*Box::leak(value.to_owned().into()),
        ]
    };
    let left_out = "`odd` 1.0 of odd (amd64) is left out: ";
    let of = |name: &str, value: &'static str| {
        stanza(name, filename(value)).reads(SEEN).cannot_get(SEEN)
    };
    check(vec![
        of("no Filename", "").leaves_out(SEEN, &[left_out, "no field `Filename`"]),
        of("an empty Filename", "Filename:\n").leaves_out(SEEN, &[left_out, "no field `Filename`"]),
        of("the archive itself", "Filename: /\n").leaves_out(SEEN, &[left_out, "that is no file"]),
        of("climbing", "Filename: pool/../../odd.deb\n")
            .leaves_out(SEEN, &[left_out, "Filename is refused, it climbs"]),
        of("a backslash", "Filename: pool\\odd.deb\n").leaves_out(
            SEEN,
            &[
                left_out,
                "Filename is refused, a control character or a backslash",
            ],
        ),
        of("a tab", "Filename: pool/o\tdd.deb\n")
            .leaves_out(SEEN, &[left_out, "a control character"]),
        of("two lines", "Filename: pool/odd.deb\n pool/odd2.deb\n")
            .leaves_out(SEEN, &[left_out, "a control character"]),
        of("an encoded slash", "Filename: pool/o%2fdd.deb\n")
            .leaves_out(SEEN, &[left_out, "a percent-encoded slash"]),
        stanza("on the next line", filename("Filename:\n pool/odd.deb\n"))
            .reads(SEEN)
            .leaves_out(SEEN, &[left_out, "a control character"]),
    ]);
}
