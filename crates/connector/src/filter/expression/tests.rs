//! What expressions read, say and decide, against a naive model of their meaning.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;

fn attrs(size: u64, modified: i64, kind: FileKind) -> Attrs {
    Attrs {
        kind,
        size: Some(size),
        modified: Some(modified),
        ..Attrs::default()
    }
}

#[track_caller]
fn takes(filter: &str, name: &[u8], attrs: &Attrs) -> bool {
    let filter: Expression = filter.parse().unwrap();
    filter.takes(Known {
        name,
        attrs,
        now: NOW,
    })
}

#[test]
fn each_field_and_each_operator_decides() {
    let file = attrs(2048, NOW - 300, FileKind::File);
    for (filter, expected) in [
        (r#"name = "a.csv""#, true),
        (r#"name != "a.csv""#, false),
        (r#"name < "b""#, true),
        (r#"name >= "a.csv""#, true),
        (r#"name ~ "*.csv""#, true),
        (r#"name ~ "*.CSV""#, false),
        (r#"name =~ "[a-c]\.csv""#, true),
        (r#"name =~ "csv""#, false),
        ("size = 2KiB", true),
        ("size != 2048", false),
        ("size > 2047", true),
        ("size < 2KiB", false),
        ("size <= 2KiB", true),
        ("size >= \"3KiB\"", false),
        ("age > 5m", false),
        ("age >= 5m", true),
        ("age < 1h30m", true),
        ("age > 299500ms", true),
        ("modified < 2027-01-15T08:00:00Z", true),
        ("modified = 2027-01-15T07:55:00Z", true),
        ("modified > \"2027-01-15T08:55:00.5+01:00\"", false),
        ("modified >= 2027-01-15", true),
        ("modified > 2027-01-16", false),
        ("is-directory", false),
        ("is-directory = false", true),
        ("is-directory != false", false),
        ("not is-directory", true),
    ] {
        assert_eq!(takes(filter, b"a.csv", &file), expected, "{filter}");
    }
    let folder = attrs(0, NOW, FileKind::Directory);
    assert!(takes("is-directory", b"sub", &folder));
}

#[test]
fn and_binds_more_tightly_than_or_and_parentheses_most() {
    let file = attrs(1, NOW, FileKind::File);
    for (filter, expected) in [
        ("size = 1 or size = 2 and size = 3", true),
        ("(size = 1 or size = 2) and size = 3", false),
        ("not size = 2 and size = 1", true),
        ("not (size = 1 and size = 1)", false),
        ("not not size = 1", true),
    ] {
        assert_eq!(takes(filter, b"a", &file), expected, "{filter}");
    }
}

#[test]
fn what_the_server_does_not_tell_makes_a_comparison_false() {
    let unknown = Attrs::default();
    for field in ["size = 0", "size != 0", "age > 0s", "modified < 2030-01-01"] {
        assert!(!takes(field, b"a", &unknown), "{field}");
    }
    assert!(takes("not size = 0", b"a", &unknown));
    // From the future by the server's clock: not old, however little is asked.
    let future = attrs(0, NOW + 60, FileKind::File);
    assert!(!takes("age >= 0s", b"a", &future));
    assert!(takes("age < 0s", b"a", &future));
}

#[test]
fn names_are_bytes() {
    let file = Attrs::default();
    assert!(takes(r#"name ~ "a?b""#, b"a\xffb", &file));
    assert!(takes(r#"name =~ "a(?-u:\xff)b""#, b"a\xffb", &file));
    assert!(takes(r#"name = "a\"b\\c""#, br#"a"b\c"#, &file));
    assert!(takes(r#"name ~ "a\*""#, b"a*", &file));
    assert!(!takes(r#"name ~ "a\*""#, b"ab", &file));
}

#[test]
fn a_complaint_says_where_and_what_was_expected() {
    for (filter, complaint) in [
        (
            "",
            "at character 1 of the filter: expected name, size, modified, age, is-directory, 'not' or '(', found the end",
        ),
        (
            "sise > 1",
            "at character 1 of the filter: expected name, size, modified, age, is-directory, 'not' or '(', found 'sise'",
        ),
        (
            "size > ",
            "at character 8 of the filter: expected a size such as 0, 64KiB or 1GiB, found the end",
        ),
        (
            "size > 1 und name",
            "at character 10 of the filter: expected 'and', 'or' or the end, found 'und'",
        ),
        (
            "size ~ 1",
            "at character 6 of the filter: expected = != < > <= or >= after size (~ and =~ are for name), found '~'",
        ),
        (
            "name = a",
            "at character 8 of the filter: expected a name in quotes, found 'a'",
        ),
        (
            "name ~ *.csv",
            "at character 8 of the filter: text stands in double quotes",
        ),
        (
            "name = \"ü\" and name = \"a",
            "at character 23 of the filter: the quotes that begin here do not end",
        ),
        (
            "(size = 1",
            "at character 10 of the filter: expected 'and', 'or' or ')', found the end",
        ),
        (
            "size ! 1",
            "at character 6 of the filter: '!' alone is no operator; write != or not",
        ),
        (
            "age > 5",
            "at character 7 of the filter: expected an age such as 30s, 5m or 1h30m, found '5'",
        ),
        (
            "modified > 2026-01-01T00:00:00",
            "at character 12 of the filter: expected a time such as 2026-01-01T00:00:00Z, or a date, found '2026-01-01T00:00:00'",
        ),
        (
            "is-directory > true",
            "at character 14 of the filter: expected = or != after is-directory, found '>'",
        ),
    ] {
        assert_eq!(filter.parse::<Expression>().unwrap_err(), complaint);
    }
    let broken = r#"name =~ "(""#.parse::<Expression>().unwrap_err();
    assert!(
        broken.starts_with("at character 9 of the filter: no regular"),
        "{broken}"
    );
    assert!(!broken.contains('\n'));
}

#[test]
fn length_and_depth_are_bounded() {
    let deep = |depth: usize| format!("{}size=1{}", "(".repeat(depth), ")".repeat(depth));
    deep(DEEPEST).parse::<Expression>().unwrap();
    assert!(
        deep(DEEPEST + 1)
            .parse::<Expression>()
            .unwrap_err()
            .contains("deeper")
    );
    let nots = "not ".repeat(1000) + "size=1";
    assert!(nots.parse::<Expression>().unwrap_err().contains("deeper"));
    let long = "size=1 or ".repeat(500) + "size=1";
    assert!(
        long.parse::<Expression>()
            .unwrap_err()
            .contains("5006 bytes")
    );
    let wide = "size=1 or ".repeat(300) + "size=1";
    wide.parse::<Expression>().unwrap();
}

/// What a comparison means, written without the types that decide it.
fn naive(node: &Node, known: Known<'_>) -> bool {
    let order = |comparison: &Comparison, known: i128, wanted: i128| match comparison {
        Comparison::Equal => known == wanted,
        Comparison::Differs => known != wanted,
        Comparison::Less => known < wanted,
        Comparison::More => known > wanted,
        Comparison::AtMost => known <= wanted,
        Comparison::AtLeast => known >= wanted,
    };
    match node {
        Node::Any(nodes) => nodes
            .iter()
            .fold(false, |any, node| any | naive(node, known)),
        Node::All(nodes) => nodes
            .iter()
            .fold(true, |all, node| all & naive(node, known)),
        Node::Not(node) => !naive(node, known),
        Node::Is(Test::Name(Comparison::Equal, text)) => known.name == text.as_bytes(),
        Node::Is(Test::Name(_, text)) => known.name != text.as_bytes(),
        Node::Is(Test::NameLike(text, _)) => match text.strip_prefix('*') {
            Some(end) => known.name.ends_with(end.as_bytes()),
            None => known.name == text.as_bytes(),
        },
        Node::Is(Test::NameMatches(..)) => known.name.first() == Some(&b'a'),
        Node::Is(Test::Size(comparison, size)) => match known.attrs.size {
            Some(known) => order(comparison, known.into(), (*size).into()),
            None => false,
        },
        Node::Is(Test::Modified(comparison, moment)) => match known.attrs.modified {
            Some(known) => order(comparison, known.into(), moment.as_second().into()),
            None => false,
        },
        Node::Is(Test::Age(comparison, age)) => match known.attrs.modified {
            Some(modified) => order(
                comparison,
                (known.now - modified).into(),
                age.as_secs().into(),
            ),
            None => false,
        },
        Node::Is(Test::IsDirectory(wanted)) => *wanted == (known.attrs.kind == FileKind::Directory),
    }
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    (0..COMPARISONS.len()).prop_map(|place| COMPARISONS[place].1)
}

fn tests() -> impl Strategy<Value = Test> {
    let names = "[ab\"\\\\é]{0,3}";
    let equality = prop_oneof![Just(Comparison::Equal), Just(Comparison::Differs)];
    prop_oneof![
        (equality, names).prop_map(|(comparison, text)| Test::Name(comparison, text)),
        "\\*?[ab]{0,2}".prop_map(|text| Test::NameLike(text.clone(), Glob::parse(text.as_bytes()))),
        Just(Test::NameMatches(
            "(?s-u)a.*".into(),
            whole("(?s-u)a.*").unwrap()
        )),
        (comparisons(), 0..4u64).prop_map(|(comparison, size)| Test::Size(comparison, size)),
        (comparisons(), any::<u64>()).prop_map(|(comparison, size)| Test::Size(comparison, size)),
        (comparisons(), -3..4i64).prop_map(|(comparison, seconds)| {
            Test::Modified(comparison, Timestamp::from_second(seconds).unwrap())
        }),
        (comparisons(), 0..5000u64)
            .prop_map(|(comparison, age)| Test::Age(comparison, Duration::from_secs(age))),
        any::<bool>().prop_map(Test::IsDirectory),
    ]
}

fn nodes() -> impl Strategy<Value = Node> {
    tests()
        .prop_map(Node::Is)
        .prop_recursive(4, 24, 3, |inner| {
            let several = proptest::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                several.clone().prop_map(Node::Any),
                several.prop_map(Node::All),
                inner.prop_map(|node| Node::Not(Box::new(node))),
            ]
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(node in nodes()) {
        let written = Expression(node);
        let text = written.to_string();
        prop_assert_eq!(text.parse(), Ok(written), "{}", text);
    }

    #[test]
    fn an_expression_decides_as_its_definition_does(
        node in nodes(),
        name in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xff)], 0..4),
        size in proptest::option::of(0..4u64),
        modified in proptest::option::of(-3..4i64),
        directory in any::<bool>(),
    ) {
        let kind = if directory { FileKind::Directory } else { FileKind::File };
        let attrs = Attrs { kind, size, modified, ..Attrs::default() };
        let known = Known { name: &name, attrs: &attrs, now: 2000 };
        prop_assert_eq!(node.holds(known), naive(&node, known));
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,60}") {
        let _ = text.parse::<Expression>();
    }

    #[test]
    fn any_tokens_are_survived(
        tokens in proptest::collection::vec(prop_oneof![
            Just("name"), Just("size"), Just("age"), Just("and"), Just("or"), Just("not"),
            Just("("), Just(")"), Just("="), Just("~"), Just("<"), Just("\"a\""), Just("1"),
            Just("5m"), Just("is-directory"), Just("\""), Just("\\")
        ], 0..20),
    ) {
        if let Ok(read) = tokens.join(" ").parse::<Expression>() {
            prop_assert_eq!(read.to_string().parse(), Ok(read));
        }
    }
}
