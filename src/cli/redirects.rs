//! The rules that lead a web server's clients from rewritten paths to the archives' packages.
//!
//! Why no configuration and no request makes a rule do anything else:
//!
//! - The base of a rule is a URI that was parsed with the configuration, without user, query or fragment: no blank, quote, backslash or brace stands
//!   in it. It is written in quotes, so `;` and `#` mean nothing; `$`, which begins a variable, is percent-encoded for nginx and
//!   escaped for Apache. A pool's name is of letters, digits and `.+-_`.
//! - What nginx puts behind the base is the path as the client sent it. One that holds a `..`, however it is encoded, is answered with
//!   404, since `pool/NAME/_/../x` would lead out of the base.
//! - Apache matches the path that it has decoded, without any `..`, and encodes the whole again. So the base is decoded for it. One
//!   that was encoded twice is answered with 404.
//! - Hidden names in the pool of a local archive are answered with 404.

use std::fmt::Write;

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::merge::rewrite::{RULES, Rule};
use aptmerge::uri::Uri;
use clap::ValueEnum;
use percent_encoding::percent_decode_str;

use super::error::CliError;

/// The web server that rules are for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Server {
    Nginx,
    Apache,
}

/// A `..` between slashes, as a client may spell it; nginx makes one backslash of two in quotes.
const CLIMBS: &str = r"(?:/|\\\\|%(?:25)*2f|%(?:25)*5c)(?:\.|%(?:25)*2e){2}(?:/|\\\\|%(?:25)*(?:2f|5c|3f|23|3b)|\?|#|;|$)";

/// The ends of a part of a path besides a slash, for Apache: it writes `%3f` as `?` into the URI that it sends, so the part behind `..`
/// would be a query. Some servers do not count the text behind a `;` as part of the name.
const END: &str = r"[?#;]|%(25)*(3f|23|3b)|$";

/// A slash in a path that Apache has decoded once, as some server behind the base might see one.
const SLASH: &str = r"(/|\\\\|%(25)*2f|%(25)*5c)";

/// Returns the rules for all archives.
pub(super) fn redirects(config: &Config, server: Server) -> Result<String> {
    let mut text = String::new();
    for (name, archive) in &config.archives {
        let pool = archive.pool.as_str();
        let quoted = pool.replace('.', r"\.").replace('+', r"\+");
        let rules = match (archive.elsewhere(), server) {
            (Some(base), Server::Nginx) => {
                let base = base.to_string().replace('$', "%24");
                let base = base.trim_end_matches('/');
                // $request_uri is as the client sent it: what was percent-encoded stays so.
                let rules = RULES.map(|Rule { from, to }| {
                    let from = from.replace('/', "/+");
                    format!(
                        "if ($request_uri ~ \"^/+merged/+pool/+{quoted}/+{from}([^?]*)\") {{ return 302 \"{base}/{to}$1\"; }}\n    "
                    )
                });
                format!(
                    "location ^~ /merged/pool/{pool}/ {{\n    \
                     if ($request_uri ~* \"{CLIMBS}\") {{ return 404; }}\n    \
                     {}return 404;\n}}",
                    rules.concat()
                )
            }
            (Some(base), Server::Apache) => {
                let base = for_apache(base).ok_or_else(|| {
                    CliError::Usage(format!(
                        "Apache cannot be told to lead to {base} of archive `{name}`: set `redirect` to a URI without percent-encoded signs"
                    ))
                })?;
                let rules = RULES.map(|Rule { from, to }| {
                    format!(
                        "\nRedirectMatch 302 \"^/merged/pool/{quoted}/{from}(.*)$\" \"{base}/{to}$1\""
                    )
                });
                format!(
                    "RedirectMatch 404 \"(?i)^/merged/pool/{quoted}/(.*{SLASH})?(\\.|%(25)*2e){{2}}({SLASH}|{END})\"{}",
                    rules.concat()
                )
            }
            // Its packages are reached through the links in the tree.
            (None, Server::Nginx) => {
                format!("location ~ \"^/+merged/+pool/+{quoted}/(.*/)?\\.\" {{ return 404; }}")
            }
            (None, Server::Apache) => {
                format!("RedirectMatch 404 \"^/merged/pool/{quoted}/(.*/)?\\.\"")
            }
        };
        let _ = writeln!(text, "{rules}"); // a String takes everything
    }
    Ok(text)
}

/// Returns a base as Apache wants it: decoded, since Apache encodes it anew with the rest of the path, and with every `$` escaped. `None`
/// if the base holds anything that would mean something else then.
fn for_apache(base: &Uri) -> Option<String> {
    let base = base.to_string();
    let base = percent_decode_str(base.trim_end_matches('/'))
        .decode_utf8()
        .ok()?;
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\?#{}<>^`|".contains(c);
    base.chars()
        .all(is_plain)
        .then(|| base.replace('$', r"\\$"))
}
