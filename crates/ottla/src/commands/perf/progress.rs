//! A run watched from outside: its progress on a terminal, and Ctrl-C.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ottla_perf::{Control, PerfError, Progress, Unit};

/// Between two looks at the progress: often enough for the eye, and next to nothing beside the run.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// The exit code of a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// Does the work; meanwhile shows how far it is, where standard error is a terminal and nobody reads JSON. The first Ctrl-C
/// ends the run early, a second one the process.
pub fn watched<T>(json: bool, work: impl FnOnce(&Control) -> Result<T, PerfError>) -> Result<T, PerfError> {
    let control = Control::new();
    end_on_interrupt(control.clone());
    if json || !std::io::stderr().is_terminal() {
        return work(&control);
    }
    let shown = Control::new();
    std::thread::scope(|scope| {
        scope.spawn(|| show(&control, &shown));
        let result = work(&control);
        shown.end();
        result
    })
}

/// Draws until `over` is ended.
fn show(control: &Control, over: &Control) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    while over.pause(LOOK_PAUSE) {
        let Progress { done, total, unit } = control.progress();
        if total == 0 {
            bar.tick();
            continue;
        }
        bar.set_style(style(unit));
        bar.set_length(total);
        bar.set_position(done.min(total));
    }
    bar.finish_and_clear();
}

fn style(unit: Unit) -> ProgressStyle {
    // Never the default: a test reads each template.
    ProgressStyle::with_template(template(unit)).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn template(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go",
        Unit::Things => "{bar:40} {pos} of {len}, {per_sec}, {eta} to go",
        Unit::Time => "{bar:40} {elapsed}",
    }
}

fn end_on_interrupt(control: Control) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        let interrupted = || runtime.block_on(async { tokio::signal::ctrl_c().await.is_ok() });
        if interrupted() {
            control.end();
        }
        if interrupted() {
            std::process::exit(INTERRUPTED);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        for unit in [Unit::Bytes, Unit::Things, Unit::Time] {
            assert!(ProgressStyle::with_template(template(unit)).is_ok(), "{unit:?}");
        }
    }

    #[test]
    fn a_run_that_is_not_on_a_terminal_is_just_done() {
        assert!(!watched(true, |control| Ok(control.is_ended())).unwrap());
    }
}
