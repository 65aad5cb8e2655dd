//! Says on a terminal what takes long.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Work that takes less long than this is not worth a word.
const QUIET: Duration = Duration::from_secs(1);
/// How often the line is written anew.
const TICK: Duration = Duration::from_millis(200);

/// A line on standard error that says what is being done, once that takes longer than a second.
/// There is none where standard error is not a terminal, and it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<(Sender<String>, JoinHandle<()>)>);

impl Progress {
    /// Starts with nothing to say.
    pub(crate) fn start() -> Progress {
        let is_terminal = io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Progress::on(is_terminal.then(io::stderr), QUIET)
    }

    fn on(terminal: Option<impl Write + Send + 'static>, quiet: Duration) -> Progress {
        Progress(terminal.map(|mut terminal| {
            let (sender, steps) = mpsc::channel::<String>();
            let show = move || {
                let start = Instant::now();
                let mut step = String::new();
                let mut shown = false;
                let mut wait = quiet;
                loop {
                    match steps.recv_timeout(wait) {
                        Ok(next) => {
                            step = next;
                            wait = quiet.saturating_sub(start.elapsed());
                            if !wait.is_zero() {
                                continue;
                            }
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                    let seconds = start.elapsed().as_secs();
                    // A terminal that takes nothing is not worth failing for.
                    let _ = write!(terminal, "\r\x1b[2K{step} … {seconds} s");
                    let _ = terminal.flush();
                    (shown, wait) = (true, TICK);
                }
                if shown {
                    let _ = write!(terminal, "\r\x1b[2K");
                    let _ = terminal.flush();
                }
            };
            (sender, thread::spawn(show))
        }))
    }

    /// Says what is being done from now on.
    pub(crate) fn step(&self, step: impl Into<String>) {
        if let Some((sender, _)) = &self.0 {
            let _ = sender.send(step.into());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<u8>>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(quiet: Duration) -> String {
        let terminal = Terminal::default();
        let progress = Progress::on(Some(terminal.clone()), quiet);
        progress.step("reading");
        progress.step("writing");
        drop(progress);
        String::from_utf8(terminal.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn what_takes_long_is_said_and_taken_back() {
        let shown = shown(Duration::ZERO);
        assert!(shown.contains("\r\x1b[2Kwriting … "), "{shown:?}");
        assert!(shown.ends_with("s\r\x1b[2K"), "{shown:?}");
    }

    #[test]
    fn what_is_soon_done_is_not_said() {
        assert_eq!(shown(Duration::MAX), "");
    }
}
