//! Somebody who looks at both sides all the time, and somebody who takes away what was delivered.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Does something again and again until it is dropped or finds a fault.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<Result<u64, String>>>,
}

impl Watch {
    pub(crate) fn begin(mut look: impl FnMut() -> Result<(), String> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watcher = thread::spawn(move || {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                look()?;
                looks += 1;
                // Leaves the processor to those who are watched.
                thread::sleep(Duration::from_millis(1));
            }
            look()?;
            Ok(looks + 1)
        });
        Self {
            stop,
            watcher: Some(watcher),
        }
    }

    /// How many looks there were; panics with the fault that one of them found.
    pub(crate) fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let watcher = self.watcher.take().expect("it is ended once");
        watcher.join().unwrap().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// Takes what appears under its own name in `inbox` away into `taken`, as a program that consumes files does. What it
/// has had before must be the same content again, and goes into `again`.
pub(crate) fn consumer(inbox: PathBuf, taken: PathBuf, again: PathBuf) -> Watch {
    Watch::begin(move || {
        for entry in fs::read_dir(&inbox).unwrap() {
            let name = entry.unwrap().file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (found, place) = (inbox.join(&name), taken.join(&name));
            if !place.exists() {
                fs::rename(found, place).unwrap();
                continue;
            }
            if fs::read(&found).unwrap() != fs::read(place).unwrap() {
                return Err(format!("{name:?} came again with another content"));
            }
            fs::rename(found, again.join(&name)).unwrap();
        }
        Ok(())
    })
}
