//! Tests which texts are URIs, and that no path joined to one leaves it.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

#[test]
fn what_can_be_fetched_is_parsed() {
    for (text, shown) in [
        ("http://mirror.example", "http://mirror.example/"),
        (
            "HTTPS://Mirror.Example:8443/a%20b/",
            "https://mirror.example:8443/a%20b/",
        ),
        (
            "http://[2001:DB8::1]:8080/debian",
            "http://[2001:db8::1]:8080/debian",
        ),
        ("http://[2001:db8::1]/debian", "http://[2001:db8::1]/debian"),
        ("file:///srv/mirror", "file:///srv/mirror"),
        ("file:/srv/mirror", "file:///srv/mirror"),
        ("file://localhost/srv/mirror", "file:///srv/mirror"),
    ] {
        assert_eq!(uri(text).to_string(), shown, "{text}");
    }
}

#[test]
fn what_cannot_be_fetched_is_refused() {
    for text in [
        "",
        "mirror.example/debian",
        "/srv/mirror",
        "ftp://mirror.example/",
        "http:/mirror.example/",
        "http:mirror.example",
        "http://",
        "http:///debian",
        "http://mirror.example:0/",
        "http://mirror.example:/",
        "http://mirror.example:65536/",
        "http://mirror.example:+80/",
        "http://mirror example/",
        "http://mirror.example/a b",
        "http://mirror.example/a\r\nHost: evil.example",
        "http://mirror.example/a\\b",
        "http://mirror.example/ä",
        "http://mirrör.example/",
        "http://mirror.example/%",
        "http://mirror.example/%2",
        "http://mirror.example/%zz",
        "http://mirror.example/a/../b",
        "http://mirror.example/a/%2e%2E/b",
        "http://mirror.example/./b",
        "http://mirror.example/?q",
        "http://mirror.example/#f",
        "http://[2001:db8::1/",
        "http://2001:db8::1]/",
        "http://[]/",
        "http://[mirror]/",
        "http://a@b@mirror.example/",
        "file:srv",
        "file:",
        "file://server.example/share",
        "file:///srv/%00",
        "file:///srv/a%2fb",
        "file:///srv/..%2f..",
        "file:///srv/..",
    ] {
        let parsed = Uri::parse(text);
        assert!(parsed.is_err(), "{text:?} became {parsed:?}");
    }
}

#[test]
fn file_paths_are_decoded() {
    let path = uri("file:/srv/a%20b%25%C3%A4+~").file_path().unwrap();
    assert_eq!(path, PathBuf::from("/srv/a b%ä+~"));
    assert_eq!(uri("http://mirror.example/a").file_path(), None);
}

#[test]
fn join_encodes_each_segment() {
    for root in [
        "http://mirror.example/debian",
        "http://mirror.example/debian/",
    ] {
        for (path, joined) in [
            ("dists/bookworm/InRelease", "dists/bookworm/InRelease"),
            ("a+b~c", "a%2Bb~c"),
            ("a b%20c", "a%20b%2520c"),
            ("a?b#c", "a%3Fb%23c"),
            ("ä:@&=", "%C3%A4%3A%40%26%3D"),
            ("...", "..."),
            ("%2e%2e/x", "%252e%252e/x"),
        ] {
            let expected = format!("http://mirror.example/debian/{joined}");
            assert_eq!(uri(root).join(path).unwrap().to_string(), expected);
        }
    }
    let local = uri("file:/srv").join("a b%2e+").unwrap();
    assert_eq!(local.file_path().unwrap(), PathBuf::from("/srv/a b%2e+"));
}

#[test]
fn join_refuses_what_would_not_stay_below() {
    let root = uri("http://mirror.example/debian");
    for path in [
        "",
        "/",
        "/etc/passwd",
        "..",
        ".",
        "../x",
        "a/../b",
        "a/..",
        "a/./b",
        "./a",
        "a//b",
        "a/",
        "//evil.example/a",
        "a\0b",
        "a\nb",
        "a\u{7f}",
        "a\u{85}b",
        "a\\b",
        "..\\x",
    ] {
        assert!(root.join(path).is_err(), "{path:?}");
    }
}

#[test]
fn redirects_are_resolved_and_judged() {
    let base = uri("https://user:secret@mirror.example/debian/dists/Release");
    for (location, target) in [
        ("https://cdn.example/x", "https://cdn.example/x"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("//cdn.example", "https://cdn.example/"),
        ("/x", "https://mirror.example/x"),
        ("x", "https://mirror.example/debian/dists/x"),
        ("../x", "https://mirror.example/debian/x"),
        ("../../../../x", "https://mirror.example/x"),
        ("..", "https://mirror.example/debian/"),
        ("/a/%2e%2e/b", "https://mirror.example/b"),
        ("/a b/%zz/ä", "https://mirror.example/a%20b/%25zz/%C3%A4"),
        (
            "https://cdn.example/x?sig=secret#part",
            "https://cdn.example/x?…",
        ),
        ("https://cdn.example?sig=a/b:c", "https://cdn.example/?…"),
    ] {
        assert_eq!(
            base.redirect(location).unwrap().to_string(),
            target,
            "{location}"
        );
    }
    assert_eq!(
        base.redirect("/x?a=b c%2F").unwrap().to_request(),
        "https://mirror.example/x?a=b%20c%2F"
    );
    for location in ["file:///etc/passwd", "file:/etc/passwd"] {
        assert_eq!(base.redirect(location), Err(UriError::Local), "{location}");
    }
    for location in [
        "",
        "#x",
        "ftp://mirror.example/",
        "javascript:x",
        "http:x",
        "/a\r\nb",
        "https://",
    ] {
        assert!(base.redirect(location).is_err(), "{location:?}");
    }
    assert_eq!(
        base.redirect("http://mirror.example/"),
        Err(UriError::Downgrade)
    );
    let open = uri("http://mirror.example/");
    assert_eq!(
        open.redirect("https://mirror.example/").unwrap().scheme(),
        Scheme::Https
    );
}

#[test]
fn credentials_stay_with_their_origin() {
    let base = uri("https://user:p%40ss@mirror.example/debian");
    assert_eq!(base.basic_credentials().unwrap(), b"user:p@ss");
    assert_eq!(
        uri("https://user@mirror.example/")
            .basic_credentials()
            .unwrap(),
        b"user:"
    );
    for (location, kept) in [
        ("/other", true),
        ("https://mirror.example:443/other", true),
        ("https://mirror.example:444/other", false),
        ("https://cdn.example/other", false),
        ("//cdn.example/other", false),
    ] {
        assert_eq!(
            base.redirect(location).unwrap().has_credentials(),
            kept,
            "{location}"
        );
    }
}

#[test]
fn no_text_shows_a_password() {
    let base = uri("https://user:secret@mirror.example/debian");
    assert!(!format!("{base} {base:?} {}", base.to_request()).contains("secret"));
    for text in [
        "ftp://user:secret@mirror.example/",
        "http://user:sec ret@mirror.example/",
        "http://user:secret/secret@mirror.example/",
        "http://user:secret@mirror.example:x/",
        "http://user:secret@mirror.example/?secret",
        "user:secret@mirror.example",
        "http://mirror.example/?token=secret",
    ] {
        let error = Uri::parse(text).unwrap_err();
        assert!(!error.to_string().contains("sec"), "{error}");
    }
}

/// Generates paths with the parts that are most likely to cause errors.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just("//evil.example".to_owned()),
        Just("@".to_owned()),
        Just("?#".to_owned()),
        "[a-z+~% ]{0,4}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_joined_stays_below(path in path()) {
        for root in ["http://user:pw@mirror.example:8080/debian", "file:///srv/mirror/"] {
            let root = uri(root);
            let Ok(joined) = root.join(&path) else { continue };
            let below = root.0.path.trim_end_matches('/').to_owned() + "/";
            prop_assert!(joined.0.path.starts_with(&below));
            prop_assert_eq!(joined.0.origin(), root.0.origin());
            prop_assert_eq!(&joined.0.userinfo, &root.0.userinfo);
            // A server or the kernel decodes it to the path that was given.
            let rest = &joined.0.path[below.len()..];
            prop_assert_eq!(percent_decode_str(rest).decode_utf8().unwrap(), path.as_str());
            prop_assert_eq!(Uri::parse(&joined.to_request()).map(|again| again.0.path.clone()), Ok(joined.0.path.clone()));
            prop_assert_eq!(&remove_dot_segments(&joined.0.path), &joined.0.path);
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "(http|https|file|x)?:?/{0,3}[a-z@:%.?#\\[\\]/ä ]{0,20}", path in path()) {
        let base = uri("https://mirror.example/debian/x");
        for text in [&text, &path] {
            if let Ok(parsed) = Uri::parse(text) {
                prop_assert_eq!(parsed.0.path.split('/').any(is_dot_segment), false);
            }
            if let Ok(target) = base.redirect(text) {
                prop_assert_eq!(target.scheme(), Scheme::Https);
                prop_assert!(Parts::parse(&target.to_request()).is_ok(), "{:?}", target.to_request());
            }
        }
    }
}
