//! `serve`: the link over HTTP, with the pool redirects.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use aptmerge::config::{Archive, Config};
use aptmerge::error::{Error, Result};
use aptmerge::events::{Event, Listener};
use aptmerge::serve::{Access, Hooks, Limits, Pool, PoolTarget, Site, Stop, bind};
use aptmerge::workspace::Layout;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::hint;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address and port to listen on, instead of the configured ones; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// The document that `serve --json` prints once it listens.
#[derive(Serialize)]
struct Serving {
    link: PathBuf,
    url: String,
}

/// Returns the place of an archive's packages: its `redirect`, its first http(s) URI, or its directory here.
fn target(archive: &Archive, root: &Path) -> Option<PoolTarget> {
    if let Some(base) = archive.elsewhere() {
        return Some(PoolTarget::Redirect(base.to_string()));
    }
    archive.directory(root).map(PoolTarget::Directory)
}

fn site(config: &Config) -> Site {
    let pools = config.archives.values().filter_map(|archive| {
        Some(Pool {
            name: archive.pool.to_string(),
            target: target(archive, &config.root)?,
        })
    });
    Site {
        link: Layout::new(&config.root).link(),
        prefix: "merged".into(),
        pools: pools.collect(),
    }
}

pub(super) fn serve(context: &Context, args: &ServeArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let address = args.listen.as_ref().unwrap_or(&config.serve.listen);
    let listener = bind(address)?;
    let local = listener
        .local_addr()
        .map_err(Error::io("listen on", address))?;
    let (link, url) = (config.root.join("merged"), format!("http://{local}/"));
    match context.json {
        true => context.print_json(&Serving { link, url }),
        false => context.print(&format!("serving {} on {url}", link.display())),
    }
    // The hooks outlive this function's borrow of the context, so they get one of their own.
    let log = Arc::new(context.clone());
    let errors = Arc::clone(&log);
    let hooks = Hooks {
        on_request: Some(Arc::new(move |access: &Access| {
            log.event(Event::Info(format!(
                "{} {} {} {} {}",
                access.peer, access.method, access.target, access.status, access.bytes
            )));
            if let Some(problem) = &access.problem {
                let log: &dyn Listener = &*log;
                log.warn(problem);
            }
        })),
        on_error: Some(Arc::new(move |error| {
            let errors: &dyn Listener = &*errors;
            let hint = hint::serve::hint(error).map(|hint| format!("\n  hint: {hint}"));
            errors.warn(aptmerge::error::chain(error) + &hint.unwrap_or_default());
        })),
    };
    aptmerge::serve::serve(
        site(&config),
        listener,
        Limits::default(),
        hooks,
        &Stop::at_signals(),
    )?;
    Ok(ExitCode::SUCCESS)
}
