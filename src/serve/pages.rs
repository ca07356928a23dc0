//! The pages that the server writes itself, and the content types of the files that it does not.

use std::{
    fmt::Write,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use super::{
    PoolTarget, Site,
    beneath::{Found, Root, entries},
    path::encode_name,
};

const TEXT: &str = "text/plain; charset=utf-8";

/// The bytes of a Release file that are searched for its components: its fields come first, its lists of files after.
const RELEASE_HEAD_BYTES: u64 = 64 * 1024;

/// The line of the front page about a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) components: String,
}

/// Returns the content type for a file of that name. A compressed file is of its compressed type: with a `Content-Encoding`
/// instead, a client might unpack what apt must get, and hash, as it is.
pub(super) fn content_type(name: &[u8]) -> &'static str {
    let ending = match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) => name.get(dot + 1..).unwrap_or_default(),
        None => b"",
    };
    match ending {
        b"gz" => "application/gzip",
        b"xz" => "application/x-xz",
        b"bz2" => "application/x-bzip2",
        b"zst" => "application/zstd",
        b"deb" | b"udeb" | b"ddeb" => "application/vnd.debian.binary-package",
        b"gpg" | b"asc" => "application/pgp-signature",
        b"dsc" | b"changes" | b"buildinfo" => TEXT,
        // A by-hash file may be anything, compressed or not.
        b"" if name.len() >= 32 && name.iter().all(u8::is_ascii_hexdigit) => {
            "application/octet-stream"
        }
        // InRelease, Release, Packages, Sources, Contents-amd64, Index, Translation-en
        b"" => TEXT,
        _ => "application/octet-stream",
    }
}

/// Returns the suites below `dists`, aliases among them.
pub(super) fn suites(root: &Root) -> io::Result<Vec<Suite>> {
    let Ok(Found::Directory(dists)) = root.find([&b"dists"[..]]) else {
        return Ok(Vec::new());
    };
    let mut suites = Vec::new();
    for entry in entries(&dists)? {
        let release = ["Release", "InRelease"].iter().find_map(|file| {
            let path = [b"dists", entry.name.as_bytes(), file.as_bytes()];
            match root.find(path) {
                Ok(Found::File(file, _)) => Some(file),
                _ => None,
            }
        });
        if let Some(release) = release {
            let mut head = Vec::new();
            release.take(RELEASE_HEAD_BYTES).read_to_end(&mut head)?;
            suites.push(Suite {
                name: entry.name.to_string_lossy().into_owned(),
                components: components(&String::from_utf8_lossy(&head)),
            });
        }
    }
    Ok(suites)
}

fn components(release: &str) -> String {
    let field = release
        .lines()
        .find_map(|line| line.strip_prefix("Components:"));
    let words: Vec<&str> = field.unwrap_or("main").split_whitespace().collect();
    words.join(" ")
}

/// Returns the page that says what is served and how to use it. `host` is what the client called us.
pub(super) fn front(site: &Site, host: Option<&str>, suites: &[Suite]) -> String {
    // The name goes into a line that people paste into a file, so it is one or it is a placeholder.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(is_name));
    let host = host.unwrap_or("this-server");
    let mut page = head("APT archive");
    page.push_str("<p>This server offers a merged APT archive.</p>\n");
    if suites.is_empty() {
        page.push_str("<p>No suite is published yet.</p>\n");
    } else {
        page.push_str("<p>Lines for <code>/etc/apt/sources.list</code>:</p>\n<pre>");
        let prefix = site.prefix.trim_matches('/');
        for Suite { name, components } in suites {
            let line = format!("deb http://{host}/{prefix} {name} {components}");
            let _ = writeln!(page, "{}", escape(&line));
        }
        page.push_str("</pre>\n<p>apt must be given the key that signs this archive, too: ");
        page.push_str("<code>deb [signed-by=/path/to/key.gpg] …</code></p>\n");
        page.push_str("<p><a href=\"dists/\">Browse the indices</a></p>\n");
    }
    if !site.pools.is_empty() {
        page.push_str("<p>Packages come from:</p>\n<ul>\n");
        for pool in &site.pools {
            let place = match &pool.target {
                PoolTarget::Redirect(base) => base.as_str(),
                PoolTarget::Directory(_) => "this server",
            };
            let line = format!("{}: {place}", pool.name);
            let _ = writeln!(page, "<li>{}</li>", escape(&line));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</html>\n");
    page
}

/// Returns a list of what is in a directory of the tree, `names` being the path to it. Links are relative, so that they hold
/// behind a proxy; without a slash at the end of the request's path they have to name the directory again.
pub(super) fn listing(
    names: &[&[u8]],
    with_slash: bool,
    directory: &OwnedFd,
) -> io::Result<String> {
    let shown = String::from_utf8_lossy(&names.join(&b'/')).into_owned();
    let base = match names.last() {
        Some(last) if !with_slash => format!("./{}/", encode_name(last)),
        _ => "./".to_owned(),
    };
    let mut page = head(&format!("/{shown}/"));
    page.push_str("<pre>\n");
    for entry in entries(directory)? {
        let slash = if entry.is_directory { "/" } else { "" };
        let link = escape(&format!(
            "{base}{}{slash}",
            encode_name(entry.name.as_bytes())
        ));
        let name = escape(&entry.name.to_string_lossy());
        let _ = writeln!(page, "<a href=\"{link}\">{name}{slash}</a>");
    }
    page.push_str("</pre>\n</html>\n");
    Ok(page)
}

fn head(title: &str) -> String {
    let title = escape(title);
    format!("<!DOCTYPE html>\n<html lang=\"en\">\n<title>{title}</title>\n<h1>{title}</h1>\n")
}

/// Escapes text for HTML text, or for an attribute's value between quotation marks.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, path::PathBuf};

    use super::{
        super::{Pool, Site},
        *,
    };

    fn site(pools: Vec<Pool>) -> Site {
        Site {
            link: PathBuf::from("/nowhere"),
            prefix: "merged".to_owned(),
            pools,
        }
    }

    #[test]
    fn types_are_of_the_file_as_it_is() {
        for (name, expected) in [
            ("Packages.xz", "application/x-xz"),
            ("Packages.gz", "application/gzip"),
            ("InRelease", TEXT),
            ("Release.gpg", "application/pgp-signature"),
            ("apt_2.6_amd64.deb", "application/vnd.debian.binary-package"),
            ("page.html", "application/octet-stream"),
            (
                "d41d8cd98f00b204e9800998ecf8427e",
                "application/octet-stream",
            ),
            (".", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(content_type(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn the_front_page_has_lines_to_paste() {
        let suites = [Suite {
            name: "daedalus".to_owned(),
            components: "main contrib".to_owned(),
        }];
        let page = front(&site(Vec::new()), Some("apt.example:8080"), &suites);
        let line = "<pre>deb http://apt.example:8080/merged daedalus main contrib\n";
        assert!(page.contains(line), "{page}");
    }

    #[test]
    fn nothing_foreign_becomes_markup() {
        let pools = vec![Pool {
            name: "A".to_owned(),
            target: PoolTarget::Redirect("https://mirror.example/a&b'".to_owned()),
        }];
        let suites = [Suite {
            name: "<script>".to_owned(),
            components: "\"main\"".to_owned(),
        }];
        let page = front(&site(pools), Some("<b>"), &suites);
        assert!(
            !page.contains("<script>") && !page.contains("<b>"),
            "{page}"
        );
        assert!(page.contains("deb http://this-server/merged &lt;script&gt; &quot;main&quot;"));
        assert!(page.contains("https://mirror.example/a&amp;b&#39;"));
    }

    #[test]
    fn a_listing_links_to_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("main")).unwrap();
        fs::write(place.path().join("a b\"<&%:"), "").unwrap();
        fs::write(place.path().join(".hidden"), "").unwrap();
        let directory: OwnedFd = fs::File::open(place.path()).unwrap().into();
        let page = listing(&[b"dists", b"x<y"], true, &directory).unwrap();
        assert!(page.contains("<title>/dists/x&lt;y/</title>"), "{page}");
        assert!(page.contains("<a href=\"./main/\">main/</a>"), "{page}");
        let odd = "<a href=\"./a%20b%22%3C&amp;%25:\">a b&quot;&lt;&amp;%:</a>";
        assert!(page.contains(odd), "{page}");
        assert!(!page.contains("hidden"), "{page}");
        let page = listing(&[b"dists", b"x<y"], false, &directory).unwrap();
        assert!(page.contains("<a href=\"./x%3Cy/main/\">"), "{page}");
    }

    #[test]
    fn suites_are_what_has_a_release() {
        let place = tempfile::tempdir().unwrap();
        let dists = place.path().join("dists");
        fs::create_dir_all(dists.join("daedalus")).unwrap();
        fs::create_dir_all(dists.join("unfinished")).unwrap();
        fs::write(
            dists.join("daedalus/Release"),
            "Suite: x\nComponents: main  contrib\n",
        )
        .unwrap();
        std::os::unix::fs::symlink("daedalus", dists.join("stable")).unwrap();
        let found = suites(&Root::open(place.path(), None).unwrap()).unwrap();
        let names: Vec<&str> = found.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["daedalus", "stable"]);
        assert_eq!(found[0].components, "main contrib");
    }
}
