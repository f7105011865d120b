//! The line that SSH_FXP_NAME carries beside each name, for people who list a directory
//! (draft-ietf-secsh-filexfer-02 §7): "the recommended format for the longname field" is that of
//! `ls -l`.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sansftp_proto::sftp::{Attrs, FileType};
use std::io::Write;

/// Half a year: for files that changed longer ago, and for those of the future, `ls -l` shows the
/// year and not the time.
const RECENT: i64 = 365 * 24 * 60 * 60 / 2;

/// A line as `ls -l` writes it, in the time zone of this system: type and permissions, `links`, user,
/// group, size, date and name. What `attrs` does not say is shown as a question mark; so is an empty
/// `user` or `group`.
pub fn longname(
    name: &[u8],
    attrs: &Attrs,
    links: Option<u64>,
    user: &[u8],
    group: &[u8],
) -> Bytes {
    let mut line = Vec::with_capacity(64 + user.len() + group.len() + name.len());
    write_mode(&mut line, attrs);
    match links {
        Some(links) => write!(line, " {links:>3} "),
        None => write!(line, "   ? "),
    }
    .expect("a vector takes everything");
    for owner in [user, group] {
        let owner = if owner.is_empty() { b"?" } else { owner };
        line.extend_from_slice(owner);
        line.resize(line.len() + 8_usize.saturating_sub(owner.len()), b' ');
        line.push(b' ');
    }
    let time = attrs.times.map(|it| date(i64::from(it.mtime), now()));
    let time = time.unwrap_or_else(|| "?".to_owned());
    match attrs.size {
        Some(size) => write!(line, "{size:>8} {time:<12} "),
        None => write!(line, "{:>8} {time:<12} ", '?'),
    }
    .expect("a vector takes everything");
    line.extend_from_slice(name);
    line.into()
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// `mtime` as one who reads at `now` wants it: both are seconds since 1970.
fn date(mtime: i64, now: i64) -> String {
    let Ok(timestamp) = Timestamp::from_second(mtime) else {
        return "?".to_owned();
    };
    let format = if (0..RECENT).contains(&(now - mtime)) {
        "%b %e %H:%M"
    } else {
        "%b %e  %Y"
    };
    let zoned = timestamp.to_zoned(TimeZone::system());
    zoned.strftime(format).to_string()
}

/// `drwxr-xr-x`
fn write_mode(line: &mut Vec<u8>, attrs: &Attrs) {
    let Some(mode) = attrs.mode() else {
        line.extend_from_slice(b"??????????");
        return;
    };
    line.push(match attrs.file_type() {
        Some(FileType::Regular) => b'-',
        Some(FileType::Directory) => b'd',
        Some(FileType::Symlink) => b'l',
        Some(FileType::Fifo) => b'p',
        Some(FileType::Socket) => b's',
        Some(FileType::CharDevice) => b'c',
        Some(FileType::BlockDevice) => b'b',
        _ => b'?',
    });
    for (shift, special, with, without) in [
        (6, 0o4000, b's', b'S'),
        (3, 0o2000, b's', b'S'),
        (0, 0o1000, b't', b'T'),
    ] {
        let bits = mode >> shift;
        line.push(if bits & 4 != 0 { b'r' } else { b'-' });
        line.push(if bits & 2 != 0 { b'w' } else { b'-' });
        line.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => with,
            (false, true) => without,
            (true, false) => b'x',
            (false, false) => b'-',
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_proto::sftp::Times;

    fn attrs(permissions: u32) -> Attrs {
        Attrs {
            size: Some(1234),
            permissions: Some(permissions),
            ..Attrs::default()
        }
    }

    #[test]
    fn a_line_is_as_ls_writes_it() {
        let mut file = attrs(0o100_644);
        let line = |attrs: &Attrs| {
            let line = longname(b"a\xffb", attrs, Some(1), b"edi", b"longer_than_8");
            line.escape_ascii().to_string()
        };
        assert_eq!(
            line(&file),
            "-rw-r--r--   1 edi      longer_than_8     1234 ?            a\\xffb"
        );
        file.times = Some(Times {
            atime: 0,
            mtime: 86_400 * 14,
        });
        assert!(line(&file).contains("1970 a"), "{}", line(&file));
        let unknown = longname(b"", &Attrs::default(), None, b"", b"");
        assert_eq!(
            unknown,
            "??????????   ? ?        ?               ? ?            "
        );
    }

    #[test]
    fn modes_have_their_letters() {
        for (permissions, expected) in [
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o041_777, "drwxrwxrwt"),
            (0o106_755, "-rwsr-sr-x"),
            (0o107_644, "-rwSr-Sr-T"),
            (0o010_000, "p---------"),
        ] {
            let line = longname(b"x", &attrs(permissions), Some(1), b"u", b"g");
            assert!(line.starts_with(expected.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn the_time_is_shown_for_half_a_year() {
        let now = 1_800_000_000;
        assert!(date(now - 60, now).contains(':'));
        assert!(date(now - RECENT + 60, now).contains(':'));
        assert!(!date(now - RECENT - 60, now).contains(':'));
        assert!(!date(now + 86_400, now).contains(':'), "the future");
        assert_eq!(date(now - 60, now).len(), date(0, now).len());
    }
}
