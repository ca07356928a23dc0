//! A mirror of main that answers byte for byte as a test says.

use crate::common::site::Site;
use crate::common::web::{Act, Mirror};

/// Starts a mirror of a site's archives and makes it the home of main; it ends with the test's process.
pub(crate) fn main_over(site: &Site, behave: impl Fn(&str) -> Act + Send + Sync + 'static) {
    let mirror = Mirror::of(&site.path("archives"));
    mirror.behave(behave);
    let old = format!("\"file://{}/main\"", site.path("archives").display());
    let config = site.config();
    assert!(config.contains(&old));
    let config = config.replace(&old, &format!("\"{}/main\"", mirror.uri()));
    site.write_config(&config.replace("restarts = 0", "restarts = 0\ntimeout = \"1 second\""));
}
