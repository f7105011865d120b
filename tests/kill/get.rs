//! Get, killed: with deletion and with a move at the server, from both servers, with the files left where they were
//! delivered and taken away at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::scene::{Host, Scene, States, content, contents, judge, name, names};
use crate::watch::{Watch, consumer};
use crate::{Amount, LONG, SHORT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Delete,
    Move,
}

/// What becomes of delivered files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Stay,
    /// Somebody takes them away at once. Killed between the rename and its record, the program finds the file by the second
    /// name of its part, and nowhere else.
    TakenAway,
}

#[test]
fn get_and_delete_killed_at_any_moment_delivers_each_file_once() {
    play(&SHORT, Host::serve, After::Delete, Delivered::Stay);
}

#[test]
fn get_and_move_killed_at_any_moment_delivers_each_file_once() {
    play(&SHORT, Host::sshd, After::Move, Delivered::Stay);
}

#[test]
fn get_and_delete_into_a_directory_that_is_emptied_at_once_delivers_each_file_once() {
    play(&SHORT, Host::sshd, After::Delete, Delivered::TakenAway);
}

#[test]
fn get_and_move_into_a_directory_that_is_emptied_at_once_delivers_each_file_once() {
    play(&SHORT, Host::serve, After::Move, Delivered::TakenAway);
}

#[test]
#[ignore = "takes up to an hour; xtask nightly runs it"]
fn get_and_delete_killed_for_fifty_rounds_delivers_each_file_once() {
    play(&LONG, Host::serve, After::Delete, Delivered::Stay);
}

#[test]
#[ignore = "takes up to an hour; xtask nightly runs it"]
fn what_is_taken_away_at_once_in_fifty_rounds_was_delivered_once() {
    play(&LONG, Host::serve, After::Delete, Delivered::TakenAway);
}

#[test]
#[ignore = "takes up to an hour; xtask nightly runs it"]
fn get_and_move_killed_for_fifty_rounds_delivers_each_file_once() {
    play(&LONG, Host::sshd, After::Move, Delivered::Stay);
}

fn play(amount: &Amount, host: fn() -> Host, after: After, delivered: Delivered) {
    let mut states = States::new();
    for seed in 1..=amount.rounds {
        for (state, met) in round(amount, host(), seed, after, delivered) {
            *states.entry(state).or_default() += met;
        }
    }
    let wanted: &[&str] = match after {
        After::Delete => &["claimed", "fetched", "delivered", "done"],
        After::Move => &["claimed", "fetched", "delivered", "moving", "done"],
    };
    judge(amount, &states, wanted);
}

fn round(amount: &Amount, host: Host, seed: u64, after: After, delivered: Delivered) -> States {
    let scene = Scene::new(host);
    let (out, done) = (scene.remote("out"), scene.remote("out/done"));
    let (inbox, taken) = (scene.local("inbox"), scene.local("taken"));
    let again = scene.local("again");
    let files: BTreeMap<String, Vec<u8>> = (0..amount.files)
        .map(|number| (name(number), content(seed, number)))
        .collect();
    for (name, content) in &files {
        scene.write_remote(&out.join(name), content);
    }
    let watch = watch(
        &files,
        [&out, &done, &inbox, &taken].map(PathBuf::clone),
        after,
    );
    let consumer = (delivered == Delivered::TakenAway)
        .then(|| consumer(inbox.clone(), taken.clone(), again.clone()));

    let mut words = vec!["--into=inbox".to_owned()];
    match after {
        After::Delete => words.push("--action=get-and-delete".to_owned()),
        After::Move => {
            words.push("--action=get-and-move".to_owned());
            words.push("--move-to-directory=out/done".to_owned());
        }
    }
    let (outcomes, states) = scene.play(amount, seed, "get", "out", &words);

    if let Some(consumer) = consumer {
        consumer.end();
    }
    let looks = watch.end();
    println!("seed {seed}: {looks} looks at both sides");
    told_once(&outcomes, seed);
    let place = match delivered {
        Delivered::Stay => &inbox,
        Delivered::TakenAway => &taken,
    };
    same(&contents(place), &files, &format!("seed {seed}: delivered"));
    if delivered == Delivered::TakenAway {
        assert_eq!(names(&inbox), BTreeSet::new(), "seed {seed}: left behind");
        assert_eq!(names(&again), BTreeSet::new(), "seed {seed}: came again");
    } else {
        // Nothing of ours, neither parts nor second names.
        let wanted: BTreeSet<String> = files.keys().cloned().collect();
        assert_eq!(names(&inbox), wanted, "seed {seed}: left behind");
    }
    match after {
        After::Delete => assert_eq!(contents(&out), BTreeMap::new(), "seed {seed}"),
        After::Move => {
            assert_eq!(contents(&out), BTreeMap::new(), "seed {seed}");
            same(&contents(&done), &files, &format!("seed {seed}: moved"));
        }
    }
    states
}

/// Nothing is missing at any look: what is not at its source was delivered before, and so is found at the other side,
/// which is looked at later.
fn watch(files: &BTreeMap<String, Vec<u8>>, places: [PathBuf; 4], after: After) -> Watch {
    let all: BTreeSet<String> = files.keys().cloned().collect();
    let [out, done, inbox, taken] = places;
    Watch::begin(move || {
        let source = names(&out);
        let gone = all.difference(&source);
        for name in gone {
            // A file that is taken away is so after it was delivered: looked for in that order.
            if !inbox.join(name).exists() && !taken.join(name).exists() {
                return Err(format!("{name} is on neither side"));
            }
            if after == After::Move && !done.join(name).exists() {
                return Err(format!("{name} is in neither directory of the server"));
            }
        }
        Ok(())
    })
}

/// An outcome may be lost in a kill, but none is told twice.
fn told_once(outcomes: &[Value], seed: u64) {
    let mut told = BTreeSet::new();
    for outcome in outcomes.iter().filter(|it| it["status"] == "ok") {
        let name = outcome["filename"].as_str().unwrap().to_owned();
        assert!(told.insert(name), "seed {seed}: told twice: {outcome}");
    }
    for outcome in outcomes {
        assert_ne!(outcome["status"], "failed", "seed {seed}: {outcome}");
    }
}

/// Equal names and contents, told without printing the contents.
fn same(found: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |map: &BTreeMap<String, Vec<u8>>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (found_names, wanted_names) = (names(found), names(wanted));
    let missing: Vec<_> = wanted_names.difference(&found_names).collect();
    let surplus: Vec<_> = found_names.difference(&wanted_names).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: missing {missing:?}, surplus {surplus:?}"
    );
    for (name, content) in found {
        assert!(
            wanted[name] == *content,
            "{what}: {name} has another content"
        );
    }
}
