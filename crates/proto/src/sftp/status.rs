//! Outcomes of requests (draft-ietf-secsh-filexfer-02 §7): a failure at the other end is a value here
//! and not an [`Error`](crate::error::Error), for the connection goes on.

use crate::error::printable;
use bytes::Bytes;
use std::fmt;

/// The code of SSH_FXP_STATUS. Codes of later drafts arrive as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a number of the wire, any of which may come"
)]
pub struct StatusCode(pub u32);

macro_rules! codes {
    ($($(#[$meta:meta])* $number:literal $NAME:ident $text:literal;)*) => {
        impl StatusCode {
            $($(#[$meta])* pub const $NAME: Self = Self($number);)*

            /// The code in words; `None` for one that is not in the table.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Debug for StatusCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($number => f.write_str(stringify!($NAME)),)*
                    other => write!(f, "StatusCode({other})"),
                }
            }
        }
    };
}

codes! {
    /// SSH_FX_OK
    0 OK "success";
    /// SSH_FX_EOF
    1 EOF "end of file";
    /// SSH_FX_NO_SUCH_FILE
    2 NO_SUCH_FILE "no such file";
    /// SSH_FX_PERMISSION_DENIED
    3 PERMISSION_DENIED "permission denied";
    /// SSH_FX_FAILURE
    4 FAILURE "failure";
    /// SSH_FX_BAD_MESSAGE
    5 BAD_MESSAGE "bad message";
    /// SSH_FX_NO_CONNECTION: made up at this end only.
    6 NO_CONNECTION "no connection";
    /// SSH_FX_CONNECTION_LOST: made up at this end only, for whoever still waited.
    7 CONNECTION_LOST "connection lost";
    /// SSH_FX_OP_UNSUPPORTED
    8 OP_UNSUPPORTED "operation unsupported";
    /// SSH_FX_INVALID_PARAMETER: of later drafts, and what the copy-data extension answers when it
    /// is asked to copy a file onto itself.
    23 INVALID_PARAMETER "invalid parameter";
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// Why a request failed, in the words of the end that refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of SSH_FXP_STATUS; the language is never of use"
)]
pub struct Status {
    /// What kind of failure. Never [`StatusCode::OK`] in what a client is given.
    pub code: StatusCode,
    /// Words for a person; may be empty, need not be UTF-8, and is not fit for a terminal as it is.
    pub message: Bytes,
}

impl Status {
    /// A failure with the words that its code has anyway.
    pub const fn new(code: StatusCode) -> Self {
        let text = match code.text() {
            Some(text) => text,
            None => "failure",
        };
        Self::with_text(code, text)
    }

    /// A failure with words of its own.
    pub const fn with_text(code: StatusCode, text: &'static str) -> Self {
        Self {
            code,
            message: Bytes::from_static(text.as_bytes()),
        }
    }

    /// Whether this says that nothing more is to be read.
    pub fn is_eof(&self) -> bool {
        self.code == StatusCode::EOF
    }
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.code.text().unwrap_or_default().as_bytes();
        if self.message.is_empty() || self.message.eq_ignore_ascii_case(own) {
            return self.code.fmt(f);
        }
        write!(f, "{} ({})", self.code, printable(&self.message))
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_once_and_without_control_characters() {
        let plain = Status {
            code: StatusCode::NO_SUCH_FILE,
            message: Bytes::from_static(b"No such file"),
        };
        assert_eq!(plain.to_string(), "no such file");
        let hostile = Status {
            code: StatusCode::FAILURE,
            message: Bytes::from_static(b"\x1b[2Jx"),
        };
        assert_eq!(hostile.to_string(), "failure (\u{fffd}[2Jx)");
        let later = Status {
            code: StatusCode(15),
            message: Bytes::from_static(b"quota"),
        };
        assert_eq!(later.to_string(), "status 15 (quota)");
        assert_eq!(
            Status::new(StatusCode(99)).to_string(),
            "status 99 (failure)"
        );
    }
}
