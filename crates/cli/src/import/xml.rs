//! A small XML document as a tree that is used up: what is asked for is taken out, and what is left
//! in the end is what nobody knew.
//!
//! Not a general XML reader: no document types, hence no entities but the five of XML 1.0 §4.6 and
//! character references; namespaces are prefixes that are dropped. Size and depth are bounded.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element, and what of it has not been asked for yet.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Its name without a prefix.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
    text: String,
}

/// Exported components have a few kilobytes.
const LONGEST: usize = 4 << 20;

/// Exported components have about six levels; a tree is also given up level by level.
const DEEPEST: usize = 64;

impl Element {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong, and the line where one can be told.
    pub(super) fn parse(document: &[u8]) -> Result<Self, String> {
        if document.len() > LONGEST {
            return Err(format!(
                "it has {} bytes, and no component has that many",
                document.len()
            ));
        }
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let text = std::str::from_utf8(document).map_err(|error| {
            let line = line(document, error.valid_up_to());
            format!("line {line}: this is not UTF-8")
        })?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut tree = Tree::default();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string());
            let position = match &event {
                Ok(_) => reader.buffer_position(),
                Err(_) => reader.error_position(),
            };
            let more = event.and_then(|event| tree.take(event));
            match more {
                Ok(More::Expected) => {}
                Ok(More::None) => break,
                Err(what) => {
                    let position = usize::try_from(position).unwrap_or(usize::MAX);
                    return Err(format!("line {}: {what}", line(document, position)));
                }
            }
        }
        tree.root.ok_or_else(|| "it holds no element".to_owned())
    }

    /// Takes an attribute out, trimmed; `None` when it is missing.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.attributes.iter().position(|(it, _)| it == name)?;
        let (_, value) = self.attributes.swap_remove(at);
        Some(value.trim().to_owned())
    }

    /// Takes the first child of a name out.
    pub(super) fn child(&mut self, name: &str) -> Option<Self> {
        let at = self.children.iter().position(|it| it.name == name)?;
        Some(self.children.remove(at))
    }

    /// Takes the text out, trimmed.
    pub(super) fn text(&mut self) -> String {
        std::mem::take(&mut self.text).trim().to_owned()
    }

    /// Takes attributes out that have nothing to say here.
    pub(super) fn ignore(&mut self, attributes: &[&str]) {
        self.attributes
            .retain(|(name, _)| !attributes.contains(&name.as_str()));
    }

    /// The paths of what is left: attributes as `A/B/@name`, elements as `A/B`, text as `A/B/text()`.
    /// Values are not told: one of them may be a secret.
    pub(super) fn left(&self, above: &str, told: &mut Vec<String>) {
        let path = format!("{above}/{}", self.name);
        for (name, _) in &self.attributes {
            told.push(format!("{path}/@{name}"));
        }
        if !self.text.trim().is_empty() {
            told.push(format!("{path}/text()"));
        }
        for child in &self.children {
            told.push(format!("{path}/{}", child.name));
        }
    }
}

/// Whether the document goes on.
enum More {
    Expected,
    None,
}

/// The elements that are open, and the outermost one once it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<More, String> {
        match event {
            Event::Start(start) => self.start(&start)?,
            Event::End(_) => {
                let Some(element) = self.open.pop() else {
                    return Err("an element ends that never began".to_owned());
                };
                match self.open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => self.root = Some(element),
                }
            }
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let character = reference
                    .resolve_char_ref()
                    .map_err(|error| error.to_string())?;
                let name = reference.xml10_content();
                match character {
                    Some(character) => self.text(character.encode_utf8(&mut [0; 4]))?,
                    None => self.text(entity(&name)?)?,
                }
            }
            Event::DocType(_) => {
                return Err("a document type is declared; none is read".to_owned());
            }
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if self.open.is_empty() => return Ok(More::None),
            Event::Eof => return Err("it ends within an element".to_owned()),
        }
        Ok(More::Expected)
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.root.is_some() {
            return Err("a second outermost element begins".to_owned());
        }
        if self.open.len() >= DEEPEST {
            return Err("elements lie too deep in one another".to_owned());
        }
        let mut element = Element {
            name: start.local_name().as_ref().to_owned(),
            ..Element::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let name = attribute.key.as_ref();
            if name == "xmlns" || name.starts_with("xmlns:") || name.starts_with("xsi:") {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            let name = attribute.key.local_name().as_ref().to_owned();
            element.attributes.push((name, value.into_owned()));
        }
        self.open.push(element);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("there is text outside of any element".to_owned()),
        }
        Ok(())
    }
}

/// The predefined entities of XML 1.0 §4.6.
fn entity(name: &str) -> Result<&'static str, String> {
    match name {
        "lt" => Ok("<"),
        "gt" => Ok(">"),
        "amp" => Ok("&"),
        "quot" => Ok("\""),
        "apos" => Ok("'"),
        other => Err(format!("the entity &{other}; is not defined")),
    }
}

fn line(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_is_left_with_its_path() {
        let document = b"<a:A xmlns:a='u' x=' 1 &lt; ' y='2'><B>t &amp; &#x41;</B><C/>loose</a:A>";
        let mut element = Element::parse(document).unwrap();
        assert_eq!(element.name, "A");
        assert_eq!(element.take("x").as_deref(), Some("1 <"));
        assert_eq!(element.take("z"), None);
        assert_eq!(element.child("B").unwrap().text(), "t & A");
        let mut left = Vec::new();
        element.left("", &mut left);
        assert_eq!(left, ["/A/@y", "/A/text()", "/A/C"]);
    }

    #[test]
    fn what_is_no_document_is_told_with_its_line() {
        for (document, words) in [
            (&b"host = 'h'"[..], "outside of any element"),
            (b"", "no element"),
            (b"<A>\n<B></A>", "line 2"),
            (b"<A", "line 1"),
            (b"<A>\n", "line 2: it ends within"),
            (b"<A/><B/>", "second outermost"),
            (b"<A>\n\n\xff</A>", "line 3: this is not UTF-8"),
            (b"<A>&nbsp;</A>", "&nbsp;"),
            (b"<A x='1' x='2'/>", "line 1"),
        ] {
            let error = Element::parse(document).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn nothing_outside_the_document_is_read_and_nothing_grows() {
        let entities = b"<!DOCTYPE A [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><A>&e;</A>";
        assert!(
            Element::parse(entities)
                .unwrap_err()
                .contains("document type")
        );
        let deep = "<A>".repeat(100_000);
        assert!(
            Element::parse(deep.as_bytes())
                .unwrap_err()
                .contains("too deep")
        );
        let long = vec![b' '; LONGEST + 1];
        assert!(Element::parse(&long).unwrap_err().contains("bytes"));
    }
}
