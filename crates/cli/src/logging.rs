//! Logs: to standard error, as much of them as was asked for.
//!
//! Not results, which are told whatever is logged. Only this program's own crates are heard.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::OutputArgs;
use crate::output::Bars;

/// Starts logging; lines go past the bar.
pub(crate) fn start(args: &OutputArgs, bars: Bars) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // The names of all our crates begin so.
    let filter = EnvFilter::new(format!("off,sansftp={level}"));
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(bars)
        .with_ansi(ansi);
    if args.verbose == 0 {
        logger.without_time().with_target(false).init();
    } else {
        logger.init();
    }
}
