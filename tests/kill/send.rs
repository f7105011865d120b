//! Send, killed: with overwrite and with a move-to directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::scene::{Host, Scene, States, content, contents, judge, name};
use crate::watch::Watch;
use crate::{Amount, LONG, SHORT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Over an old file of the name.
    Overwrite,
    /// Claimed in the move-to directory, where it must be the first.
    Claim,
    /// Written to the remote directory, and moved from there.
    Move,
}

#[test]
fn send_with_overwrite_killed_at_any_moment_has_old_or_new_content_at_every_look() {
    play(&SHORT, Host::sshd, How::Overwrite);
}

#[test]
fn send_that_claims_its_name_killed_at_any_moment_publishes_each_document_once() {
    play(&SHORT, Host::serve, How::Claim);
}

#[test]
fn send_with_a_move_to_directory_killed_at_any_moment_publishes_each_document_once() {
    play(&SHORT, Host::serve, How::Move);
}

#[test]
#[ignore = "takes up to an hour; xtask nightly runs it"]
fn send_with_overwrite_killed_for_fifty_rounds_has_old_or_new_content_at_every_look() {
    play(&LONG, Host::serve, How::Overwrite);
}

#[test]
#[ignore = "takes up to an hour; xtask nightly runs it"]
fn send_with_a_move_to_directory_killed_for_fifty_rounds_publishes_each_document_once() {
    play(&LONG, Host::sshd, How::Move);
}

fn play(amount: &Amount, host: fn() -> Host, how: How) {
    let mut states = States::new();
    for seed in 1..=amount.rounds {
        for (state, met) in round(amount, host(), seed, how) {
            *states.entry(state).or_default() += met;
        }
    }
    let wanted: &[&str] = match how {
        How::Overwrite | How::Claim => &["begun", "written", "publishing", "published", "done"],
        How::Move => &[
            "begun",
            "written",
            "publishing",
            "published",
            "moving",
            "done",
        ],
    };
    judge(amount, &states, wanted);
}

fn round(amount: &Amount, host: Host, seed: u64, how: How) -> States {
    let scene = Scene::new(host);
    let (target, ready) = (scene.remote("in"), scene.remote("in/ready"));
    let outbox = scene.local("outbox");
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    let mut words = Vec::new();
    for number in 0..amount.files {
        let name = name(number);
        new.insert(name.clone(), content(seed, number));
        old.insert(name.clone(), format!("old content of {name}").into_bytes());
        fs::write(outbox.join(&name), &new[&name]).unwrap();
        words.push(format!("outbox/{name}"));
    }
    match how {
        How::Overwrite => {
            for (name, content) in &old {
                scene.write_remote(&target.join(name), content);
            }
            words.push("--if-exists=overwrite".to_owned());
        }
        // A second publication of a document would be seen as a failure: without force-move what is there is not replaced.
        How::Claim | How::Move => {
            let rule = if how == How::Claim {
                "error"
            } else {
                "overwrite"
            };
            words.push(format!("--if-exists={rule}"));
            words.push("--move-to-directory=in/ready".to_owned());
        }
    }
    let watch = watch(how, &old, &new, [&target, &ready].map(PathBuf::clone));
    let (outcomes, states) = scene.play(amount, seed, "send", "in", &words);
    println!("seed {seed}: {} looks", watch.end());

    for outcome in &outcomes {
        assert_ne!(outcome["status"], "failed", "seed {seed}: {outcome}");
    }
    let (published, elsewhere) = match how {
        How::Overwrite => (contents(&target), contents(&ready)),
        How::Claim | How::Move => (contents(&ready), contents(&target)),
    };
    let names = |map: &BTreeMap<String, Vec<u8>>| map.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&published), names(&new), "seed {seed}");
    assert_eq!(names(&elsewhere), BTreeSet::new(), "seed {seed}");
    for (name, content) in &published {
        assert!(
            new[name] == *content,
            "seed {seed}: {name} has another content"
        );
    }
    states
}

/// With overwrite each name is there at every look, with all of the old content or all of the new. Else what is there under
/// a name has all of its content.
fn watch(
    how: How,
    old: &BTreeMap<String, Vec<u8>>,
    new: &BTreeMap<String, Vec<u8>>,
    [target, ready]: [PathBuf; 2],
) -> Watch {
    let (old, new) = (old.clone(), new.clone());
    Watch::begin(move || {
        if how != How::Overwrite {
            for directory in [&target, &ready] {
                for (name, whole) in &new {
                    // Not published yet, or moved on just now.
                    let Ok(there) = fs::read(directory.join(name)) else {
                        continue;
                    };
                    if there != *whole {
                        return Err(format!("{name} has {} bytes of its content", there.len()));
                    }
                }
            }
            return Ok(());
        }
        for (name, old) in &old {
            let there = fs::read(target.join(name)).map_err(|error| format!("{name}: {error}"))?;
            if there != *old && there != new[name] {
                return Err(format!("{name} has neither its old nor its new content"));
            }
        }
        Ok(())
    })
}
