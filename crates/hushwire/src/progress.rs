//! Progress bars.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error for `total` items, or a counter if the total is not known. Nothing is
/// drawn with `--json` or where standard error is no terminal.
pub fn bar(json: bool, total: Option<usize>, what: &'static str) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(total.map(|n| n as u64), target);
    let template = match total {
        Some(_) => "{prefix} {bar:30} {pos}/{len} {msg} {eta}",
        None => "{prefix} {spinner} {pos} {msg} {elapsed}",
    };
    // The templates are constants of this file, so one that does not parse is found at once.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|e| unreachable!("the template does not parse: {e}"));
    bar.with_style(style).with_prefix(what)
}
