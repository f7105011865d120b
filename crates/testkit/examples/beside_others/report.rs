//! Figures as Markdown, and the document that they are put into. Not what they mean: that is the document's own text.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::clients::Client;
use crate::measure::Cost;
use crate::rows::Row;
use crate::{Failure, Line, median};

/// One row: a heading, when it was measured, and a line for each client that did it.
pub(crate) fn table(row: &Row, lines: &[Line], load: &str) -> String {
    let mut text = format!(
        "### {}\n\nAim: {}. {}\n\n| client | runs | wall s | of sftp's | CPU s | of sftp's | MiB |\n|---|---|---|---|---|---|---|\n",
        row.title, row.aim, load
    );
    let sftp = lines.iter().find(|line| line.client == Client::Sftp);
    let mut left_out = Vec::new();
    for line in lines {
        let costs: Vec<Cost> = line.costs.iter().flatten().copied().collect();
        if costs.is_empty() {
            let why = line.failed.as_deref().unwrap_or("was not run");
            left_out.push(format!("{} ({})", line.client.name(), first_line(why)));
            continue;
        }
        let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value).collect());
        let ratio = |value: fn(&Cost) -> f64| match sftp.map(|sftp| ratios(line, sftp, value)) {
            Some(ratios) if !ratios.is_empty() => format!("{:.2}", median(ratios)),
            _ => "".to_owned(),
        };
        text += &format!(
            "| {} | {} | {:.3} | {} | {:.3} | {} | {:.0} |\n",
            line.client.name(),
            costs.len(),
            of(|cost| cost.wall),
            ratio(|cost| cost.wall),
            of(|cost| cost.cpu),
            ratio(|cost| cost.cpu),
            of(|cost| cost.memory_mib),
        );
    }
    if !left_out.is_empty() {
        text += &format!("\nLeft out: {}.\n", left_out.join("; "));
    }
    text
}

/// Round by round; where sftp was not run again, to its last.
fn ratios(line: &Line, sftp: &Line, value: fn(&Cost) -> f64) -> Vec<f64> {
    let mut last = None;
    let mut found = Vec::new();
    for (cost, sftp) in line.costs.iter().zip(&sftp.costs) {
        last = sftp.as_ref().or(last);
        if let (Some(cost), Some(last)) = (cost, last) {
            found.push(value(cost) / value(last));
        }
    }
    found
}

/// Why a client failed, short enough for a line and without what would be a table's border.
fn first_line(why: &str) -> String {
    let line = why.lines().find(|line| !line.trim().is_empty());
    let line: String = line.unwrap_or("no word").chars().take(100).collect();
    line.replace('|', "/")
}

/// When, and what else the machine was doing.
pub(crate) fn load() -> Result<String, Failure> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]));
    Ok(format!("{date}, load {load}."))
}

/// Processors, kernel and versions.
pub(crate) fn machine(sansftp: &Path) -> Result<String, Failure> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let processors = std::thread::available_parallelism()?;
    let mut text = format!(
        "{processors} processors ({model}), Linux {}.\n\n| program | version |\n|---|---|\n",
        said(Command::new("uname").arg("-r"))
    );
    let versions = [
        (
            "sansftp",
            format!(
                "{}, revision {}",
                said(Command::new(sansftp).arg("--version")),
                said(Command::new("git").args(["rev-parse", "--short", "HEAD"]))
            ),
        ),
        ("sshd, sftp, scp", said(Command::new("ssh").arg("-V"))),
        ("lftp", said(Command::new("lftp").arg("--version"))),
        ("curl", said(Command::new("curl").arg("--version"))),
        ("rclone", said(Command::new("rclone").arg("version"))),
        ("psftp", said(Command::new("psftp").arg("-V"))),
        (
            "paramiko",
            said(
                Command::new("/usr/bin/python3")
                    .args(["-c", "import paramiko; print(paramiko.__version__)"]),
            ),
        ),
    ];
    for (program, version) in versions {
        text += &format!("| {program} | {version} |\n");
    }
    Ok(text)
}

/// The first line that a program says of itself, wherever it says it.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else {
        return "not here".to_owned();
    };
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let first = words.lines().find(|line| !line.trim().is_empty());
    let first: String = first.unwrap_or("?").chars().take(80).collect();
    first.replace(" | ", ", ")
}

/// Puts a text between the marks of its name, which are added at the end where there are none.
pub(crate) fn put_into(document: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let old = fs::read_to_string(document)?;
    fs::write(document, placed(&old, name, text)).map_err(Into::into)
}

fn placed(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let block = format!("{begin}{}\n{end}", text.trim_end());
    let places = old.find(&begin).zip(old.find(&end));
    match places {
        Some((from, to)) if from < to => {
            format!("{}{block}{}", &old[..from], &old[to + end.len()..])
        }
        _ => format!("{}\n\n{block}", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::placed;

    #[test]
    fn a_table_takes_the_place_of_its_elder_and_leaves_the_rest() {
        let first = placed("words\n", "get", "one");
        let both = placed(&first, "put", "two");
        let again = placed(&both, "get", "three\n");
        assert_eq!(
            again,
            "words\n\n<!-- get -->\nthree\n<!-- end of get -->\n\n<!-- put -->\ntwo\n<!-- end of put -->\n"
        );
    }
}
