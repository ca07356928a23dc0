//! Tests of queries: what they choose, and the errors of those that cannot be read.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Query, Subject};

struct Deb {
    name: &'static str,
    version: &'static str,
    architecture: &'static str,
    provides: &'static str,
    section: &'static str,
}

const NGINX: Deb = Deb {
    name: "nginx",
    version: "1.18.0-6",
    architecture: "amd64",
    provides: "httpd, www (= 2.0)",
    section: "net/web",
};

const DATA: Deb = Deb {
    name: "nginx-data",
    version: "1:1.2",
    architecture: "all",
    provides: "",
    section: "",
};

impl Subject for Deb {
    fn name(&self) -> &str {
        self.name
    }
    fn version(&self) -> &str {
        self.version
    }
    fn architecture(&self) -> &str {
        self.architecture
    }
    fn kind(&self) -> &str {
        "deb"
    }
    fn source(&self) -> (&str, &str) {
        ("nginx", self.version)
    }
    fn provides(&self) -> &str {
        self.provides
    }
    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        name.eq_ignore_ascii_case("section")
            .then_some(Cow::Borrowed(self.section))
    }
}

fn is(query: &str, of: &Deb) -> bool {
    Query::parse(query).unwrap().matches(of)
}

#[test]
fn each_form_means_what_it_says() {
    for query in [
        "nginx",
        "nginx (1.18.0-6)",
        "nginx(>= 1.18)",
        "nginx (>> 1.17), nginx (<< 2)",
        "nginx (< 1.18.0-6)",
        "nginx {amd64}",
        "nginx (> 1) {amd64}",
        "nginx_1.18.0-6_amd64",
        "httpd",
        "www (>= 1.9)",
        "Name (% ng*)",
        "Name (~ in)",
        "Name (~ \"^(nginx|x)$\")",
        "Section",
        "section|nginx",
        "Section (% */web)",
        "!Section (% *b)",
        "$Architecture (amd64), !$Architecture (= arm64)",
        "$Source (nginx), $SourceVersion (1.18.0-6)",
        "$PackageType (= deb)",
        "!none, (x | (nginx))",
        "  nginx\t",
        "'nginx'",
        "ng\\inx",
        "x,x|nginx",
    ] {
        assert!(is(query, &NGINX), "{query}");
    }
    for query in [
        "ngin",
        "nginx {arm64}",
        "nginx {source}",
        "nginx_1.18.0-6_arm64",
        "httpd (>= 1)",
        "www (>> 2.0)",
        "Priority",
        "Name (% ngin)",
        "x,(nginx|x)",
        "!(nginx)",
    ] {
        assert!(!is(query, &NGINX), "{query}");
    }
    for query in [
        "$Architecture (arm64)",
        "nginx-data {amd64}",
        "!Section",
        "Version (1:1.2)",
    ] {
        assert!(is(query, &DATA), "{query}");
    }
    assert!(!is("$Architecture (source)", &DATA));
}

#[test]
fn errors_say_what_was_expected() {
    for (query, error) in [
        (
            "nginx nginx",
            "parsing failed: unexpected token \"nginx\": expecting end of query",
        ),
        (
            "",
            "parsing failed: unexpected token <EOL>: expecting field or package name",
        ),
        (
            "nginx,",
            "parsing failed: unexpected token <EOL>: expecting field or package name",
        ),
        (
            "nginx (>= )",
            "parsing failed: unexpected token ): expecting value",
        ),
        (
            "nginx (>> 1",
            "parsing failed: unexpected token <EOL>: expecting ')'",
        ),
        (
            "nginx (a b)",
            "parsing failed: unexpected token \"b\": expecting ')'",
        ),
        (
            "(>>)",
            "parsing failed: unexpected token >>: expecting field or package name",
        ),
    ] {
        assert_eq!(Query::parse(query).unwrap_err().to_string(), error);
    }
    let error = Query::parse("Name (~ [)").unwrap_err().to_string();
    assert!(error.starts_with("regexp compile failed: "), "{error}");
    assert!(Query::parse(&"(".repeat(10_000)).is_err());
    assert!(Query::parse(&"!".repeat(10_000)).is_err());
    assert!(Query::parse("\"open").is_err());
}

#[test]
fn thousands_of_alternatives_are_read() {
    let names: Vec<_> = (0..20_000).map(|n| format!("p{n}")).collect();
    assert!(is(&format!("{} | nginx", names.join(" | ")), &NGINX));
}

#[test]
fn patterns_stop_at_slashes() {
    let section = |pattern: &str| is(&format!("Section (% {pattern})"), &NGINX);
    for pattern in [
        "net/web",
        "*/*",
        "n?t/w[a-e]b",
        "net/[^x]eb",
        "ne\\\\t/web",
        "net/[\\\\w]eb",
    ] {
        assert!(section(pattern), "{pattern}");
    }
    for pattern in [
        "*",
        "**",
        "net?web",
        "net/[^w]eb",
        "net/we",
        "et/web",
        "{net,x}/web",
        "n.*",
    ] {
        assert!(!section(&format!("'{pattern}'")), "{pattern}");
    }
    for pattern in ["[", "[a", "[]a]", "[-]", "[z-a]", "a\\\\"] {
        assert!(
            Query::parse(&format!("Section (% '{pattern}')")).is_err(),
            "{pattern}"
        );
    }
}

#[test]
fn a_regular_expression_has_bounds() {
    let error = Query::parse("Name (~ \"(a{1000}){1000}\")").unwrap_err();
    assert!(error.to_string().starts_with("regexp compile failed: "));
}

proptest! {
    #[test]
    fn any_text_is_a_query_or_an_error(text in "[ a-zA-Z$_(){}|,!<>=%~\"'\\\\0-9.é]{0,40}") {
        if let Ok(query) = Query::parse(&text) {
            let is = query.matches(&NGINX);
            // A backslash at the end would take the parenthesis.
            prop_assume!(!text.ends_with('\\'));
            let within = Query::parse(&format!("({text})"));
            prop_assert_eq!(within.unwrap().matches(&NGINX), is, "{}", text);
            let not = Query::parse(&format!("!({text})")).unwrap();
            prop_assert_eq!(not.matches(&NGINX), !is, "{}", text);
            let both = Query::parse(&format!("{text} | nginx, !nginx")).unwrap();
            prop_assert_eq!(both.matches(&NGINX), is, "{}", text);
        }
    }
}
