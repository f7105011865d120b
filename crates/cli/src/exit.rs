//! Exit codes: one number for what became of a whole command.
//!
//! Not the words: those are the output's.

use sansftp_connector::{Class, Error};

/// What the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Code {
    /// All done, also when there was nothing to do.
    Done = 0,
    /// A document or the step failed after authentication.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// No session: unreachable, proxy, not ready in time.
    NoSession = 3,
    /// Host key, or no common algorithm.
    Untrusted = 4,
    /// Authentication.
    Refused = 5,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl Code {
    /// The code of a command that this error ends.
    pub(crate) fn of(error: &Error) -> Self {
        match error.class() {
            Class::Configuration => Self::Usage,
            Class::HostKey | Class::NoCommonAlgorithm => Self::Untrusted,
            Class::Authentication => Self::Refused,
            _ if error.is_before_session() => Self::NoSession,
            _ => Self::Failed,
        }
    }
}

/// Gathers what became of the documents of one command.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    done: bool,
    worst: Option<Code>,
}

impl Verdict {
    /// One was done.
    pub(crate) fn done(&mut self) {
        self.done = true;
    }

    /// One failed.
    pub(crate) fn failed(&mut self, error: &Error) {
        let code = Code::of(error);
        // That there was no session says more than that a file was missing; and that something
        // could be tried says more than that something else could not be meant.
        let rank = |code: Code| match code {
            Code::Usage => 0,
            Code::Failed => 1,
            _ => 2,
        };
        if self.worst.is_none_or(|worst| rank(code) > rank(worst)) {
            self.worst = Some(code);
        }
    }

    /// The code for all together: where one was done there was a session, and so the failures came
    /// after authentication.
    pub(crate) fn code(&self) -> Code {
        match self.worst {
            None => Code::Done,
            Some(_) if self.done => Code::Failed,
            Some(worst) => worst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(done: bool, errors: &[Error]) -> Code {
        let mut verdict = Verdict::default();
        if done {
            verdict.done();
        }
        errors.iter().for_each(|error| verdict.failed(error));
        verdict.code()
    }

    #[test]
    fn the_class_and_the_stage_give_the_code() {
        let error = |class| Error::new(class, "x");
        assert_eq!(Code::of(&error(Class::Configuration)), Code::Usage);
        assert_eq!(Code::of(&error(Class::HostKey)), Code::Untrusted);
        assert_eq!(Code::of(&error(Class::NoCommonAlgorithm)), Code::Untrusted);
        assert_eq!(
            Code::of(&error(Class::Authentication).before_session()),
            Code::Refused
        );
        assert_eq!(
            Code::of(&error(Class::Timeout).before_session()),
            Code::NoSession
        );
        assert_eq!(
            Code::of(&error(Class::Disconnected).before_session()),
            Code::NoSession
        );
        assert_eq!(Code::of(&error(Class::Disconnected)), Code::Failed);
        assert_eq!(Code::of(&error(Class::Permission)), Code::Failed);
    }

    #[test]
    fn what_failed_beside_something_done_failed_after_authentication() {
        let refused = || Error::new(Class::Authentication, "x").before_session();
        let missing = Error::new(Class::LocalIo, "x");
        let senseless = Error::configuration("x");
        assert_eq!(verdict(true, &[]), Code::Done);
        assert_eq!(verdict(false, &[]), Code::Done);
        assert_eq!(verdict(true, &[refused()]), Code::Failed);
        assert_eq!(verdict(false, &[missing.clone(), refused()]), Code::Refused);
        assert_eq!(verdict(false, &[senseless.clone(), missing]), Code::Failed);
        assert_eq!(verdict(false, &[senseless]), Code::Usage);
    }
}
