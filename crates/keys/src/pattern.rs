//! Wildcard patterns and pattern lists (ssh_config(5) PATTERNS): `*`, `?`, a leading `!`.
//!
//! Matching goes back to the last `*` only, so its time is bounded by the product of the lengths
//! and never exponential; a host's name has at most [`MAX_NAME`] bytes, which makes it linear in
//! the pattern.

/// Longest name that is matched, in bytes: DNS allows 253 (RFC 1035 §2.3.4), and brackets, a port
/// and an address's zone come on top.
pub(crate) const MAX_NAME: usize = 320;

/// Whether a whole list lets a name in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// A pattern matches, and none that begins with `!`.
    Yes,
    /// No pattern matches.
    No,
    /// A pattern that begins with `!` matches: out, whatever else the list says.
    Excluded,
}

/// Looks a name up in a list of patterns, letters without case.
pub(crate) fn listed<'a>(patterns: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> Listed {
    let mut found = Listed::No;
    for pattern in patterns {
        match pattern.strip_prefix(b"!") {
            Some(pattern) if matches(pattern, name) => return Listed::Excluded,
            None if matches(pattern, name) => found = Listed::Yes,
            _ => {}
        }
    }
    found
}

/// The patterns between the commas of a list.
pub(crate) fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').filter(|it| !it.is_empty())
}

/// Whether the whole name matches: `*` is any bytes, `?` is one, letters have no case.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    // Where to go on when what follows the last star does not fit: one byte further in the name.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at_pattern), name.get(at_name)) {
            (Some(b'*'), _) => {
                at_pattern += 1;
                star = Some((at_pattern, at_name));
            }
            (Some(b'?'), Some(_)) => {
                at_pattern += 1;
                at_name += 1;
            }
            (Some(wanted), Some(found)) if wanted.eq_ignore_ascii_case(found) => {
                at_pattern += 1;
                at_name += 1;
            }
            (None, None) => return true,
            // The name has ended: a later start cannot fit what an earlier one did not.
            (Some(_), None) => return false,
            _ => {
                let Some((after, start)) = star else {
                    return false;
                };
                star = Some((after, start + 1));
                (at_pattern, at_name) = (after, start + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a", true),
            ("?", "", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*.example.com", "A.EXAMPLE.com", true),
            ("*.example.com", "example.com", false),
            ("a?c", "abc", true),
            ("", "", true),
            ("", "a", false),
            ("**", "ab", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_of_a_thousand_stars_takes_no_time() {
        let pattern = ["*a".repeat(1000), "b".to_owned()].concat();
        let name = "a".repeat(100_000);
        // Exponential matching would never return; a quadratic one would need 10^8 steps.
        for _ in 0..20 {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_negated_pattern_excludes_whatever_the_others_say() {
        let look = |list: &str, name: &str| listed(split(list.as_bytes()), name.as_bytes());
        assert_eq!(look("*.b,!a.b", "a.b"), Listed::Excluded);
        assert_eq!(look("!a.b,*.b", "c.b"), Listed::Yes);
        assert_eq!(look("!a.b", "c.b"), Listed::No);
    }

    /// The definition, without cleverness.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|it| slow(rest, &name[it..])),
            ([b'?', rest @ ..], [_, name @ ..]) => slow(rest, name),
            ([wanted, rest @ ..], [found, name @ ..]) => wanted == found && slow(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                slow(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
