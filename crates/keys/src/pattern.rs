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
    counted(pattern, name).0
}

/// [`matches`], and how many steps it took.
fn counted(pattern: &[u8], name: &[u8]) -> (bool, u64) {
    let (mut at_pattern, mut at_name) = (0, 0);
    // Where to go on when what follows the last star does not fit: one byte further in the name.
    let mut star: Option<(usize, usize)> = None;
    let mut steps = 0;
    loop {
        steps += 1;
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
            (None, None) => return (true, steps),
            // The name has ended: a later start cannot fit what an earlier one did not.
            (Some(_), None) => return (false, steps),
            _ => {
                let Some((after, start)) = star else {
                    return (false, steps);
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

    /// The bound that the head of this file speaks of.
    fn bound(pattern: &[u8], name: &[u8]) -> u64 {
        let [pattern, name] = [pattern, name].map(|it| it.len() as u64 + 1);
        pattern * name
    }

    #[test]
    fn no_pattern_makes_matching_take_more_steps_than_the_product_of_the_lengths() {
        let name = "a".repeat(MAX_NAME);
        // A line of known_hosts, or a `from=`, as long as its file may be; each has a last part that
        // does not fit, so that everything is tried.
        for pattern in [
            ["*a".repeat(30_000), "b".to_owned()].concat(),
            ["*".repeat(30_000), "a".repeat(MAX_NAME / 2), "b".to_owned()].concat(),
            ["*", &"?".repeat(MAX_NAME / 2), "b"].concat(),
            ["*?".repeat(30_000), "b".to_owned()].concat(),
            ["*aaaaaaaab".repeat(3_000), "b".to_owned()].concat(),
        ] {
            let (matched, steps) = counted(pattern.as_bytes(), name.as_bytes());
            assert!(!matched);
            assert!(
                steps <= bound(pattern.as_bytes(), name.as_bytes()),
                "{} bytes of {}: {steps}",
                pattern.len(),
                &pattern[..4]
            );
        }
        // What is worst for going back to one star stays far below what going back to each would cost.
        let pattern = ["*", &"a".repeat(MAX_NAME / 2), "b"].concat();
        let (_, steps) = counted(pattern.as_bytes(), name.as_bytes());
        assert!(steps > 25_000, "the worst case was not met: {steps}");
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
            let (matched, steps) = counted(pattern.as_bytes(), name.as_bytes());
            prop_assert!(steps <= bound(pattern.as_bytes(), name.as_bytes()));
            prop_assert_eq!(
                matched,
                slow(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
