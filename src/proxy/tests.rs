//! Tests that proxies are chosen as the configuration, the environment and `no_proxy` say.

#![allow(clippy::unwrap_used)]

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(|name| {
        let mut found = variables.iter().filter(|(n, _)| *n == name);
        found.next().map(|(_, value)| (*value).to_owned())
    })
}

fn chosen(proxies: &Proxies, uri: &str) -> String {
    match proxies.choose(&Uri::parse(uri).unwrap()) {
        Ok(None) => "direct".into(),
        Ok(Some(proxy)) => proxy.to_string(),
        Err((name, error)) => format!("{name}: {error}"),
    }
}

#[test]
fn the_archive_decides_then_the_configuration_then_the_environment() {
    let choice = |text: &str| Some(text.parse::<Choice>().unwrap());
    let environment = environment(&[
        ("http_proxy", "env.example:3128"),
        ("no_proxy", "near.example"),
    ]);
    let far = "http://far.example/x";
    let near = "http://near.example/x";
    let mut proxies = Proxies {
        environment,
        ..Proxies::default()
    };
    assert_eq!(chosen(&proxies, far), "http://env.example:3128");
    assert_eq!(chosen(&proxies, near), "direct");
    proxies.general = choice("http://general.example:8080");
    assert_eq!(chosen(&proxies, far), "http://general.example:8080");
    assert_eq!(chosen(&proxies, near), "direct");
    proxies.archive = choice("socks5h://u:p@own.example:1080");
    assert_eq!(chosen(&proxies, far), "socks5h://own.example:1080");
    assert_eq!(chosen(&proxies, near), "socks5h://own.example:1080");
    for none in ["direct", "none"] {
        proxies.archive = choice(none);
        assert_eq!(chosen(&proxies, far), "direct");
        proxies.archive = None;
        proxies.general = choice(none);
        assert_eq!(chosen(&proxies, far), "direct");
    }
}

#[test]
fn variables_are_taken_as_curl_and_apt_take_them() {
    let by = |variables: &[(&str, &str)]| {
        let proxies = Proxies {
            environment: environment(variables),
            ..Proxies::default()
        };
        [
            chosen(&proxies, "http://mirror.example/"),
            chosen(&proxies, "https://mirror.example/"),
        ]
    };
    let (a, b, c) = ("http://a:1", "http://b:2", "http://c:3");
    assert_eq!(by(&[]), ["direct", "direct"]);
    // As apt has it; curl would go straight for https.
    assert_eq!(by(&[("http_proxy", a)]), [a, a]);
    assert_eq!(by(&[("HTTP_PROXY", a)]), ["direct", "direct"]);
    assert_eq!(by(&[("https_proxy", b)]), ["direct", b]);
    assert_eq!(by(&[("HTTPS_PROXY", b)]), ["direct", b]);
    assert_eq!(by(&[("http_proxy", a), ("https_proxy", b)]), [a, b]);
    assert_eq!(by(&[("http_proxy", a), ("all_proxy", c)]), [a, c]);
    assert_eq!(by(&[("ALL_PROXY", c)]), [c, c]);
    assert_eq!(by(&[("http_proxy", ""), ("all_proxy", c)]), [c, c]);
    let [wrong, _] = by(&[("http_proxy", "ftp://a:1")]);
    assert!(
        wrong.starts_with("http_proxy: a proxy is written http://"),
        "{wrong}"
    );
}

#[test]
fn no_text_shows_the_password_of_a_proxy() {
    let text = "http://user:pa%3Ass@proxy.example:3128/ignored";
    let proxy: Proxy = text.parse().unwrap();
    assert_eq!(proxy.to_string(), "http://proxy.example:3128");
    assert_eq!(proxy.to_client(), "http://user:pa%3Ass@proxy.example:3128");
    assert_eq!(proxy.basic_credentials().unwrap(), b"user:pa:ss");
    let shown = serde_json::to_string(&Choice::Through(proxy.clone())).unwrap();
    assert_eq!(shown, "\"http://…@proxy.example:3128\"");
    let environment = environment(&[("http_proxy", text)]);
    for shown in [format!("{proxy:?}"), format!("{environment:?}")] {
        assert!(!shown.contains("pa%3Ass"), "{shown}");
    }
    for wrong in [
        "proxy.example",
        "file:///proxy",
        "http://",
        "ftp://user:S3CRET@h",
        "http://u:S3CRET@h:x",
    ] {
        let error = wrong.parse::<Proxy>().unwrap_err();
        assert!(!error.to_string().contains("S3CRET"), "{error}");
    }
}
