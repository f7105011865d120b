//! TOML as people like to find it: a table, its comments, its keys, each on a line.
//!
//! Not a serialiser: the order, the comments and what is only proposed are the caller's.

use sansftp_connector::printable;

/// One table in the making.
#[derive(Debug)]
pub(super) struct Table(String);

impl Table {
    /// A table of this name in brackets. Its name is made of letters, digits and dashes.
    pub(super) fn new(kind: &str, name: &str) -> Self {
        Self(format!("[{kind}.{name}]\n"))
    }

    /// A remark on a line of its own, or on several.
    pub(super) fn comment(&mut self, words: &str) {
        self.0.push_str(&comment(words));
    }

    /// A key and its value, which [`text`], [`list`] or a number has written.
    pub(super) fn key(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    /// A text, unless it is empty.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.key(key, &text(value));
        }
    }

    /// A key and its value that are not in force.
    pub(super) fn proposal(&mut self, key: &str, value: &str) {
        for line in format!("{key} = {value}").lines() {
            self.0.push_str(&format!("# {line}\n"));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A comment, broken into lines.
pub(super) fn comment(words: &str) -> String {
    let words = printable(words.as_bytes());
    let (mut text, mut column) = (String::new(), 0);
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { "# " } else { " " });
        text.push_str(word);
        column += 1 + width;
    }
    text.push('\n');
    text
}

const WIDTH: usize = 96;

/// A string on one line.
pub(super) fn text(value: &str) -> String {
    let mut written = String::from('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            // What a terminal would not show, beside what TOML demands.
            it if it.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(it))),
            it => written.push(it),
        }
    }
    written.push('"');
    written
}

/// One string, or a list of them.
pub(super) fn list(values: &[String]) -> String {
    match values {
        [one] => text(one),
        many => {
            let many: Vec<String> = many.iter().map(|it| text(it)).collect();
            format!("[{}]", many.join(", "))
        }
    }
}
