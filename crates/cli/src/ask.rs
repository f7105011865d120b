//! Asking the person at the terminal: passwords, what a server asks, and whether a key is right.
//!
//! Never without a terminal: then there is no one, and errors say how to give what is missing.

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use sansftp_connector::printable;
use sansftp_connector::sftp::Answerer;
use sansftp_proto::auth::Prompt;
use sansftp_proto::crypto::Secret;

/// How the terminal was before a question that is not answered yet: hidden input turns its echo
/// off.
static BEFORE_QUESTION: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether there is a person to be asked.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The person at the terminal, if there is one.
pub(crate) fn person() -> Option<Arc<dyn Answerer>> {
    is_terminal().then(|| Arc::new(Person) as Arc<dyn Answerer>)
}

/// Undoes what an unanswered question did to the terminal. To be called before the program ends.
pub(crate) fn restore_terminal() {
    let before = BEFORE_QUESTION.lock().ok().and_then(|mut it| it.take());
    if let Some(before) = before {
        // The program ends; a terminal that is gone needs nothing undone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        let _ = writeln!(io::stderr());
    }
}

/// Asks a question whose answer may be seen; `None` when the input ends.
pub(crate) async fn line(question: String) -> Option<String> {
    asked(move || read_line(&question)).await
}

/// Asks a question whose answer is not shown; `None` when the input ends.
pub(crate) async fn hidden(question: String) -> Option<Secret> {
    asked(move || rpassword::prompt_password(question).map(Secret::from)).await
}

#[derive(Debug)]
struct Person;

impl Answerer for Person {
    fn answer<'a>(
        &'a self,
        name: &'a str,
        instruction: &'a str,
        prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>> {
        let mut words = String::new();
        for text in [name, instruction] {
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                // Writing to a String does not fail.
                let _ = writeln!(words, "{}", printable(line.as_bytes()));
            }
        }
        let prompts = prompts.to_vec();
        Box::pin(asked(move || {
            io::stderr().write_all(words.as_bytes())?;
            prompts.iter().map(answer).collect()
        }))
    }
}

fn answer(prompt: &Prompt) -> io::Result<Secret> {
    let question = printable(prompt.text.as_bytes()).into_owned();
    if prompt.echo {
        return read_line(&question).map(Secret::from);
    }
    rpassword::prompt_password(question).map(Secret::from)
}

fn read_line(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on a thread of its own, so that signals are heard meanwhile. Whoever asks listens for them.
async fn asked<T: Send + 'static>(
    question: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Option<T> {
    let asking = tokio::task::spawn_blocking(move || {
        remember(tcgetattr(io::stdin()).ok());
        let answer = question();
        remember(None);
        answer
    });
    match asking.await.ok()? {
        Ok(answer) => Some(answer),
        // Ctrl-C at a question for hidden input raises SIGINT by itself: that is what ends the command,
        // and no answer that was not given.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => std::future::pending().await,
        Err(_) => None,
    }
}

fn remember(before: Option<Termios>) {
    if let Ok(mut slot) = BEFORE_QUESTION.lock() {
        *slot = before;
    }
}
