//! The trees, compared with the manifests of a generation.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::manifest::Comparison;
use crate::workspace::Generation;

/// Compares the directory of a suite in a tree with the suite's manifest. Suites below its name are left out.
pub(super) fn compare(tree: &Path, generation: &Generation, suite: &str) -> Result<Comparison> {
    let Some(record) = generation.suites.get(suite) else {
        return Ok(Comparison::default());
    };
    let dists = tree.join("dists");
    let below = format!("{suite}/");
    let others = generation
        .suites
        .keys()
        .filter(|name| name.starts_with(&below));
    let others: Vec<PathBuf> = others.map(|name| dists.join(name)).collect();
    let is_other = |path: &Path| others.iter().any(|other| other == path);
    record.manifest.compare(&dists.join(suite), &is_other)
}
