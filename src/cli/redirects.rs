//! The rules that lead a web server's clients from rewritten paths to the archives' packages.
//!
//! Both servers choose the rule by the path that they have decoded, and lead by the path as the client sent it: what was percent-encoded
//! stays so. The client's path is taken apart by its slashes, so it does not matter how often a slash or how a letter before the
//! package's own path is written. `serve` answers alike (`serve/path.rs`).
//!
//! Why no configuration and no request makes a rule do anything else:
//!
//! - The base of a rule is a URI that was parsed with the configuration, without user, query or fragment: no blank, quote, backslash or brace stands
//!   in it. It is written in quotes, so `;` and `#` mean nothing; `$`, which begins a variable, is percent-encoded for nginx and
//!   escaped for Apache, as is `%`. A pool's name is of letters, digits and `.+-_`.
//! - A path that a server behind the base could read in more than one way is answered with 404 ([`doubtful`]). With a `..` in it,
//!   `pool/NAME/_/../x` would lead out of the base.
//! - A proxy passes no user, password or cookie of this site on to an archive.
//! - Hidden names in the pool of a local archive are answered with 404.

use std::fmt::Write;

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::merge::rewrite::{RULES, Rule};
use aptmerge::uri::{Scheme, Uri};
use clap::ValueEnum;
use sha2::{Digest, Sha256};

use super::error::CliError;

/// The web server that rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Server {
    Nginx,
    Apache,
}

/// A slash, and all after it that names nothing: more slashes, and `.` between two of them.
const SLASH: &str = "(?>/(?:(?:\\.|%2e)?/)*)";

/// The ends of a path in a request.
const END: &str = "(?:[?# ]|$)";

/// The percent-encoded characters that a path may not have, in any number of encodings: slash, backslash, control characters. A backslash in
/// quotes means other things to each server, so it is written as a number.
const FOUL: &str = r"\x5c|%(?:25)*(?:2f|5c|[01][0-9a-f]|7f)";

/// A `..` between two slashes, in any number of encodings. Some servers do not count the text behind a `;` as part of the name; and
/// `%3f` may come to stand as `?`.
const CLIMBS: &str = r"/(?:\.|%(?:25)*2e){2}(?:[/?#; ]|$|%(?:25)*(?:3f|23|3b))";

/// Returns the expression for a path that servers could read in more than one way. `start` matches the text before the path.
fn doubtful(start: &str) -> String {
    // No path is published that is encoded more often: see `merge/rewrite.rs`.
    format!("^{start}[^?# ]*?(?:{FOUL}|%(?:25){{6}}|{CLIMBS})")
}

/// Returns the expression for a path below a pool, which captures the text that a rule puts behind its base; one rule at most is for a
/// path. `start` matches the text before the path.
fn below_pool(start: &str, rule: Rule) -> String {
    let from = match rule.from.strip_suffix('/') {
        Some(name) => format!("{}{SLASH}", name.replace('_', "(?:_|%5f)")),
        None => format!("(?!(?:_|%5f)(?:/|{END}))"),
    };
    // `/merged/pool/NAME/`
    format!(
        "^{start}(?:{SLASH}[^/?# ]+){{3}}{SLASH}{from}(?!(?:\\.|%2e)?{END})(?<aptmerge_path>[^?# ]*)"
    )
}

/// The beginning of the line that says which rules follow, and of which configuration.
const MARK: &str = "# Written by `aptmerge config redirects ";

/// Returns the rules with a line before them that tells whether they are still those of the configuration.
pub(super) fn rules(config: &Config, server: Server, proxied: bool) -> Result<String> {
    let rules = redirects(config, server, proxied)?;
    let digest = digest(&rules);
    Ok(format!(
        "{MARK}{}`, {digest}\n{rules}",
        command(server, proxied)
    ))
}

/// Returns the arguments of `config redirects` for a server.
fn command(server: Server, proxied: bool) -> &'static str {
    match (server, proxied) {
        (Server::Nginx, false) => "nginx",
        (Server::Nginx, true) => "nginx --proxy",
        (Server::Apache, _) => "apache",
    }
}

fn digest(rules: &str) -> String {
    hex::encode(&Sha256::digest(rules)[..16])
}

/// Rules that are not those of the configuration.
pub(super) struct Old {
    pub(super) what: String,
    /// The arguments of `config redirects` by which they are made anew.
    pub(super) command: &'static str,
}

/// Looks whether a file of rules is that of the configuration, by the line that each of them begins with.
pub(super) fn outdated(config: &Config, file: &str) -> Option<Old> {
    let mark = file
        .lines()
        .find_map(|line| line.trim().strip_prefix(MARK)?.split_once("`, "));
    let Some((written, found)) = mark else {
        return Some(Old {
            what: "no rules of `config redirects` with a digest are in it".to_owned(),
            command: command(Server::Nginx, false),
        });
    };
    let kinds = [
        (Server::Nginx, false),
        (Server::Nginx, true),
        (Server::Apache, false),
    ];
    let (server, proxied) = kinds
        .into_iter()
        .find(|(s, p)| command(*s, *p) == written)?;
    let present = redirects(config, server, proxied).ok()?;
    (digest(&present) != found.trim()).then(|| Old {
        what: "the rules in it are older than the configuration: clients are led wrong, or nowhere, for some packages"
            .to_owned(),
        command: command(server, proxied),
    })
}

/// Returns the rules for all archives. With `proxied`, the server fetches packages for its clients instead of leading them elsewhere.
fn redirects(config: &Config, server: Server, proxied: bool) -> Result<String> {
    if proxied && server == Server::Apache {
        let why = "--proxy writes rules for nginx only";
        return Err(CliError::Usage(why.to_owned()).into());
    }
    let mut text = match server {
        Server::Nginx => String::new(),
        // Rules by mod_alias would decode `%23` and `%3f`.
        Server::Apache => {
            "# For a VirtualHost; needs mod_rewrite (a2enmod rewrite).\nRewriteEngine on\n"
                .to_owned()
        }
    };
    for archive in config.archives.values() {
        let pool = archive.pool.as_str();
        let quoted = pool.replace('.', r"\.").replace('+', r"\+");
        let rules = match (archive.elsewhere(), server) {
            (Some(base), Server::Nginx) if proxied => for_nginx_proxy(pool, base),
            (Some(base), Server::Nginx) => {
                let rules = for_nginx(base, |to| format!("return 302 \"{to}\";"));
                format!("location ^~ /merged/pool/{pool}/ {{\n    {rules}return 404;\n}}")
            }
            (Some(base), Server::Apache) => {
                let base = base.to_string().replace('$', r"\$").replace('%', r"\%");
                let base = base.trim_end_matches('/');
                let request = "\\S+ (?:[a-z]+://[^/ ]*)?";
                let here = format!("RewriteRule \"^/+merged/+pool/+{quoted}/\"");
                let rules = RULES.map(|rule| {
                    let path = below_pool(request, rule);
                    let to = rule.to;
                    format!(
                        "RewriteCond %{{THE_REQUEST}} \"{path}\" [NC]\n{here} \"{base}/{to}%1\" [R=302,NE,QSD,L]\n"
                    )
                });
                format!(
                    "RewriteCond %{{THE_REQUEST}} \"{}\" [NC]\n{here} - [R=404,L]\n{}{here} - [R=404,L]",
                    doubtful(request),
                    rules.concat()
                )
            }
            // Its packages are reached through the links in the tree.
            (None, Server::Nginx) => {
                format!("location ~ \"^/+merged/+pool/+{quoted}/(.*/)?\\.\" {{ return 404; }}")
            }
            (None, Server::Apache) => {
                format!("RewriteRule \"^/+merged/+pool/+{quoted}/(.*/)?\\.\" - [R=404,L]")
            }
        };
        let _ = writeln!(text, "{rules}"); // a String takes everything
    }
    Ok(text)
}

/// Returns the directives for nginx by which a request for a package does something with the URI that it leads to.
fn for_nginx(base: &Uri, action: impl Fn(&str) -> String) -> String {
    let base = base.to_string().replace('$', "%24");
    let base = base.trim_end_matches('/');
    let rules = RULES.map(|rule| {
        // A `$1` would be encoded once more by `set`.
        let action = action(&format!("{base}/{}$aptmerge_path", rule.to));
        let path = below_pool("", rule);
        format!("if ($request_uri ~* \"{path}\") {{ {action} }}\n    ")
    });
    let doubtful = doubtful("");
    format!(
        "if ($request_uri ~* \"{doubtful}\") {{ return 404; }}\n    {}",
        rules.concat()
    )
}

/// Returns rules by which nginx fetches the packages of an archive itself.
fn for_nginx_proxy(pool: &str, base: &Uri) -> String {
    let rules = for_nginx(base, |to| format!("set $aptmerge_package \"{to}\";"));
    let tls = match base.scheme() {
        Scheme::Https => {
            "    proxy_ssl_server_name on;\n    proxy_ssl_verify on;\n    proxy_ssl_verify_depth 5;\n    \
             proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;\n"
        }
        _ => "",
    };
    let host = base.to_string().replace('$', "%24");
    format!(
        "# Has nginx look the host up when it starts; names in variables need a resolver otherwise.\n\
         location = /merged/pool/{pool} {{\n    internal;\n    proxy_pass \"{host}\";\n}}\n\
         location ^~ /merged/pool/{pool}/ {{\n    set $aptmerge_package \"\";\n    {rules}\
         if ($aptmerge_package = \"\") {{ return 404; }}\n    \
         proxy_set_header Authorization \"\";\n    proxy_set_header Cookie \"\";\n    proxy_max_temp_file_size 0;\n{tls}    \
         proxy_pass $aptmerge_package;\n}}"
    )
}
