//! The progress bar, and how other lines get past it.
//!
//! Drawn on standard error, and only where that is a terminal; nothing is concluded from it.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sansftp_connector::printable;
use sansftp_connector::progress::Progress;
use tracing_subscriber::fmt::MakeWriter;

/// The place of the bar. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars(MultiProgress);

impl Bars {
    /// Does this, usually printing, while no bar is in the way.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        // A terminal that cannot be written to shows no bar either.
        let _ = self.0.clear();
    }

    /// A bar for one step. It appears with the first file: before that questions may be asked.
    pub(super) fn watch(&self) -> Watch {
        Watch {
            bars: self.clone(),
            bar: OnceLock::new(),
            files: Mutex::new(Files::default()),
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{bar:24} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta}  {prefix}{wide_msg}";
    ProgressStyle::with_template(template).expect("the template is one that indicatif reads")
}

/// One bar for all files of a step: their bytes, and the name in hand.
#[derive(Debug)]
pub(super) struct Watch {
    bars: Bars,
    bar: OnceLock<ProgressBar>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    begun: u64,
    /// How many there will be, where that was told; their bytes count from the start then.
    expected: Option<u64>,
}

impl Watch {
    fn bar(&self) -> &ProgressBar {
        self.bar.get_or_init(|| {
            let bar = self.bars.0.add(ProgressBar::new(0));
            bar.set_style(style());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files
            .lock()
            .expect("nobody panics while counting files")
    }
}

impl Progress for Watch {
    fn expected(&self, files: u64, bytes: u64) {
        self.files().expected = Some(files);
        if files > 0 {
            self.bar().set_length(bytes);
        }
    }

    fn started(&self, name: &[u8], size: Option<u64>) {
        let mut files = self.files();
        files.begun += 1;
        match files.expected {
            Some(expected) => self
                .bar()
                .set_prefix(format!("{}/{expected} ", files.begun)),
            None => {
                self.bar().inc_length(size.unwrap_or(0));
                self.bar().set_prefix(format!("{} ", files.begun));
            }
        }
        self.bar().set_message(printable(name).into_owned());
    }

    fn advanced(&self, bytes: u64) {
        self.bar().inc(bytes);
    }

    fn restarted(&self, bytes: u64) {
        self.bar()
            .set_position(self.bar().position().saturating_sub(bytes));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// Log lines go to standard error, past the bar.
impl<'a> MakeWriter<'a> for Bars {
    type Writer = PastBars<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        PastBars(self)
    }
}

/// Writes to standard error while no bar is in the way.
#[derive(Debug)]
pub(crate) struct PastBars<'a>(&'a Bars);

impl io::Write for PastBars<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_counts_what_is_expected_or_what_has_begun() {
        let told = Bars::default().watch();
        told.expected(2, 100);
        told.started(b"a", Some(60));
        told.advanced(60);
        told.restarted(60);
        assert_eq!((told.bar().length(), told.bar().position()), (Some(100), 0));
        let untold = Bars::default().watch();
        untold.started(b"a", Some(60));
        untold.started(b"b\n", None);
        assert_eq!(untold.bar().length(), Some(60));
        assert_eq!(untold.bar().message(), "b\\n");
    }
}
