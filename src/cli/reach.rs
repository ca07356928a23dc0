//! Obstacles on the way of clients to packages: URIs that they do not follow, rules of the web server that are not those of the
//! configuration.

use std::path::Path;

use aptmerge::config::{Config, Problem};

use super::failure::{about, advised};
use super::redirects::{Old, outdated};

/// Returns what keeps clients from packages for certain.
pub(super) fn warnings(config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for name in config.without_redirect() {
        warnings.push(advised(
            format!("archives.{name}.redirect"),
            "it is not set, and every URI has a user or a password, so clients are led nowhere for packages of this archive",
            "set it to a URI that clients can use",
        ));
    }
    if config.is_secure() == Some(true) {
        for (name, uri) in config.led_to_http() {
            warnings.push(advised(
                format!("archives.{name}.redirect"),
                format!("clients are led from https to {uri}, and apt refuses that: they get updates, and no package of this archive"),
                "set it to an https URI of the archive; or have the web server fetch the packages (config redirects nginx --proxy)",
            ));
        }
    }
    if let Some(file) = &config.publish.redirects {
        warnings.extend(old_rules(config, file));
    }
    warnings
}

/// Returns what keeps clients from packages if they reach the tree by https, where the configuration does not say by what they do.
pub(super) fn doubts(config: &Config) -> Vec<Problem> {
    if config.is_secure().is_some() {
        return Vec::new();
    }
    let doubts = config.led_to_http().map(|(name, uri)| {
        advised(
            format!("archives.{name}.redirect"),
            format!("clients are led to {uri}; if they reach this site by https, apt refuses that"),
            "set publish.url to the URI that clients have for this site",
        )
    });
    doubts.collect()
}

fn old_rules(config: &Config, file: &Path) -> Option<Problem> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let why = format!("cannot read {}: {error}", file.display());
            return Some(about("publish.redirects", why));
        }
    };
    let Old { what, command } = outdated(config, &text)?;
    let hint = format!(
        "aptmerge config redirects {command} > {}, and have the web server read it again",
        file.display()
    );
    let what = format!("{}: {what}", file.display());
    Some(advised("publish.redirects", what, &hint))
}
