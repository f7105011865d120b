//! The messages of user authentication (RFC 4252 §6, RFC 4256 §5), and the fields that a request
//! has by its method.
//!
//! Numbers 60 and 61 mean what the method under way makes of them: each meaning is a type of its
//! own here, read only by the state that asked (RFC 4252 §6).

use super::Prompt;
use crate::error::{Error, PeerMisbehaved, misleads};
use crate::limits;
use crate::wire::{Malformed, Message, NameList, Reader, Rest, Text};

crate::messages! { Auth from client;
    /// RFC 4253 §10
    5 ServiceRequest<'a> { name: &'a [u8] }
    /// RFC 4252 §5; `rest` holds the fields of the method
    50 Request<'a> { user: &'a str, service: &'a [u8], method: &'a [u8], rest: Rest<'a> }
}

crate::messages! { Auth from server;
    /// RFC 4253 §10
    6 ServiceAccept<'a> { name: &'a [u8] }
    /// RFC 4252 §5.1
    51 Failure<'a> { methods: NameList<'a>, partial: bool }
    /// RFC 4252 §5.1
    52 Success {}
    /// RFC 4252 §5.4; servers are known to leave out the language
    53 Banner<'a> { message: &'a [u8], language: Text<'a> }
}

/// Reads the fields that the request's method defines, all of them.
fn method_fields<'a, T>(
    rest: Rest<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let mut reader = Reader::new(rest.0);
    read(&mut reader)
        .and_then(|fields| reader.finish().map(|()| fields))
        .map_err(invalid::<Request<'a>>)
}

/// That a message is not what its number says.
pub(super) fn invalid<'a, M: Message<'a>>(cause: Malformed) -> Error {
    Error::InvalidMessage {
        number: M::NUMBER,
        name: M::NAME,
        cause,
    }
}

pub(super) mod none {
    //! RFC 4252 §5.2.

    use super::{Error, Rest, method_fields};

    /// Insists that nothing follows.
    pub(in super::super) fn fields(rest: Rest<'_>) -> Result<(), Error> {
        method_fields(rest, |_| Ok(()))
    }
}

pub(super) mod publickey {
    //! RFC 4252 §7.

    use super::{Error, Rest, method_fields};

    crate::messages! { Auth from server;
        /// RFC 4252 §7
        60 PkOk<'a> { algorithm: &'a [u8], key: &'a [u8] }
    }

    /// What a request by this method says.
    #[derive(Debug)]
    pub(in super::super) struct Fields<'a> {
        pub(in super::super) algorithm: &'a [u8],
        pub(in super::super) key: &'a [u8],
        /// Without one it is a question only.
        pub(in super::super) signature: Option<&'a [u8]>,
    }

    pub(in super::super) fn fields(rest: Rest<'_>) -> Result<Fields<'_>, Error> {
        method_fields(rest, |reader| {
            let signed: bool = reader.read()?;
            Ok(Fields {
                algorithm: reader.read()?,
                key: reader.read()?,
                signature: if signed { Some(reader.read()?) } else { None },
            })
        })
    }
}

pub(super) mod password {
    //! RFC 4252 §8.

    use super::{Error, Rest, Text, method_fields};
    use crate::crypto::Secret;

    crate::messages! { Auth from server;
        /// RFC 4252 §8
        60 ChangeRequest<'a> { prompt: &'a [u8], language: Text<'a> }
    }

    /// What a request by this method says. Bytes: RFC 4252 §8 asks for UTF-8, and who compares a
    /// password has to normalise it anyhow.
    #[derive(Debug)]
    pub(in super::super) enum Fields {
        Password(Secret),
        Change { old: Secret, new: Secret },
    }

    pub(in super::super) fn fields(rest: Rest<'_>) -> Result<Fields, Error> {
        method_fields(rest, |reader| {
            let change: bool = reader.read()?;
            let password: &[u8] = reader.read()?;
            if !change {
                return Ok(Fields::Password(password.into()));
            }
            let new: &[u8] = reader.read()?;
            Ok(Fields::Change {
                old: password.into(),
                new: new.into(),
            })
        })
    }
}

pub(super) mod interactive {
    //! RFC 4256 §3.

    use super::{
        Error, Malformed, PeerMisbehaved, Prompt, Reader, Rest, invalid, limits, method_fields,
    };
    use crate::crypto::Secret;
    use crate::wire::Field;
    use bytes::BytesMut;

    crate::messages! { Auth from server;
        /// RFC 4256 §3.2; `rest` holds the prompts
        60 InfoRequest<'a> { name: &'a [u8], instruction: &'a [u8], language: &'a [u8], count: u32, rest: Rest<'a> }
    }

    crate::messages! { Auth from client;
        /// RFC 4256 §3.4; `rest` holds the responses
        61 InfoResponse<'a> { count: u32, rest: Rest<'a> }
    }

    /// The submethods that the client would like.
    pub(in super::super) fn fields(rest: Rest<'_>) -> Result<&str, Error> {
        method_fields(rest, |reader| {
            let _language: &[u8] = reader.read()?;
            reader.read()
        })
    }

    impl InfoRequest<'_> {
        /// The prompts. Their number is only believed as far as they are there.
        pub(in super::super) fn prompts(&self) -> Result<Vec<Prompt>, Error> {
            if usize::try_from(self.count).map_or(true, |count| count > limits::PROMPTS) {
                return Err(PeerMisbehaved::TooManyPrompts.into());
            }
            let mut reader = Reader::new(self.rest.0);
            let mut read = || -> Result<Vec<Prompt>, Malformed> {
                let mut prompts = Vec::new();
                for _ in 0..self.count {
                    let text = super::words(reader.read()?);
                    prompts.push(Prompt {
                        text,
                        echo: reader.read()?,
                    });
                }
                Ok(prompts)
            };
            let prompts = read().map_err(invalid::<InfoRequest<'_>>)?;
            reader.finish().map_err(invalid::<InfoRequest<'_>>)?;
            Ok(prompts)
        }
    }

    /// Prompts as they stand behind their number.
    pub(in super::super) fn write_prompts(prompts: &[Prompt]) -> BytesMut {
        let mut out = BytesMut::new();
        for prompt in prompts {
            prompt.text.as_str().write(&mut out);
            prompt.echo.write(&mut out);
        }
        out
    }

    impl InfoResponse<'_> {
        /// The responses; `None` when there are not as many as there were prompts.
        pub(in super::super) fn responses(
            &self,
            prompts: usize,
        ) -> Result<Option<Vec<Secret>>, Error> {
            if usize::try_from(self.count) != Ok(prompts) {
                return Ok(None);
            }
            let mut reader = Reader::new(self.rest.0);
            let responses = (0..prompts)
                .map(|_| reader.read::<&[u8]>().map(Secret::from))
                .collect::<Result<Vec<_>, _>>()
                .map_err(invalid::<InfoResponse<'_>>)?;
            reader.finish().map_err(invalid::<InfoResponse<'_>>)?;
            Ok(Some(responses))
        }
    }
}

/// The server's own words, fit for a terminal: line ends and tabs stay, other control characters are
/// replaced (RFC 4252 §5.4, RFC 4256 §3.2), and the length is bounded. A carriage return stays only
/// in front of a line feed: alone it lets one line overwrite another.
pub(super) fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..limits::BANNER).unwrap_or(bytes));
    let mut following = text.chars().skip(1);
    text.chars()
        .map(|it| {
            let next = following.next();
            let stays = match it {
                '\n' | '\t' => true,
                '\r' => next == Some('\n'),
                other => !misleads(other),
            };
            if stays {
                it
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}
