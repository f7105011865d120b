//! What a person is to know of an import: what is missing, what differs, what is lost.
//!
//! Each thing is said once, with all that it concerns.

use sansftp_connector::printable;

/// What a remark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Something is needed that the component does not have.
    FillIn,
    /// It behaves in another way.
    Differs,
    /// It was in the component and is not in the configuration.
    Lost,
}

/// All remarks, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

#[derive(Debug)]
struct Remark {
    topic: Topic,
    subjects: Vec<String>,
    words: String,
}

impl Remarks {
    /// Adds what concerns a table of that name.
    pub(super) fn add(&mut self, topic: Topic, subject: &str, words: &str) {
        let known = self
            .0
            .iter_mut()
            .find(|it| it.topic == topic && it.words == words);
        match known {
            Some(remark) if remark.subjects.iter().any(|it| it == subject) => {}
            Some(remark) => remark.subjects.push(subject.to_owned()),
            None => self.0.push(Remark {
                topic,
                subjects: vec![subject.to_owned()],
                words: words.to_owned(),
            }),
        }
    }

    /// The list for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (topic, title) in [
            (Topic::FillIn, "To be filled in:"),
            (Topic::Differs, "What differs from the original:"),
            (Topic::Lost, "Not taken over:"),
        ] {
            let mut remarks = self.0.iter().filter(|it| it.topic == topic).peekable();
            if remarks.peek().is_none() {
                continue;
            }
            text.push_str(title);
            text.push('\n');
            for remark in remarks {
                let words = printable(remark.words.as_bytes());
                text.push_str(&format!("  {}: {words}\n", remark.subjects.join(", ")));
            }
        }
        text
    }
}
