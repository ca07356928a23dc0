//! `config import-amprolla`: writes our configuration from amprolla's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aptmerge::config::{Config, import};
use aptmerge::error::{Error, Result};
use clap::Args;
use serde::Serialize;

use super::context::{Context, exit};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// amprolla's lib/config.py; it is read as data, and never run
    path: PathBuf,
    /// The root to write instead of amprolla's own directory: needed while both run
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    imported: import::Imported,
    usable: bool,
}

/// The configuration goes to stdout, what there is to say about it to stderr.
pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<ExitCode> {
    let text = std::fs::read(&args.path).map_err(Error::io("read", &args.path))?;
    let imported =
        import::amprolla(&text, args.root.as_deref()).map_err(|source| Error::Import {
            path: args.path.clone(),
            source,
        })?;
    let usable = Config::parse(&imported.toml, Path::new("what came out"));
    if context.json {
        let usable = usable.is_ok();
        context.print_json(&Answer { imported, usable });
    } else {
        context.print(&imported.toml);
        for note in &imported.notes {
            context.remark(&note.to_string());
        }
    }
    match usable {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            context.remark(&format!(
                "error: the configuration cannot be used as it is\n{error}"
            ));
            Ok(ExitCode::from(exit::FAILED))
        }
    }
}
