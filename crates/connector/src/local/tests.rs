//! Delivery into a real directory: what stands there at the end, and what does not.

use super::*;

fn directory() -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path(), 64 << 20).unwrap();
    (folder, directory)
}

fn names_in(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn deliver(
    directory: &Directory,
    name: &[u8],
    content: &'static [u8],
    if_exists: LocalIfExists,
) -> Result<Placed> {
    let mut part = begin(directory, name, Checksum::None).await?;
    for chunk in content.chunks(3) {
        part.write(Bytes::from_static(chunk)).await?;
    }
    let complete = part.finish().await?;
    let chosen = directory.choose(&complete, if_exists, 0).await?;
    match directory
        .place(complete, &chosen, if_exists, Trace::None)
        .await?
    {
        Settled::Placed(placed) => Ok(placed),
        Settled::Taken(_) => panic!("nobody else is at work"),
    }
}

async fn begin(directory: &Directory, name: &[u8], checksum: Checksum) -> Result<Part> {
    let part = directory.part_for(name)?;
    directory.begin(part, checksum, Unfinished::Removed).await
}

#[tokio::test]
async fn a_file_arrives_whole_under_its_name_and_nothing_else_stays() {
    let (folder, directory) = directory();
    let placed = deliver(&directory, b"a b\n", b"hello world", LocalIfExists::Error)
        .await
        .unwrap();
    assert!(!placed.already_present);
    assert_eq!(std::fs::read(&placed.path).unwrap(), b"hello world");
    assert_eq!(names_in(&folder), ["a b\n"]);
    deliver(&directory, b"empty", b"", LocalIfExists::Error)
        .await
        .unwrap();
    assert_eq!(std::fs::read(folder.path().join("empty")).unwrap(), b"");
}

#[tokio::test]
async fn a_taken_name_follows_its_rule() {
    let (folder, directory) = directory();
    std::fs::write(folder.path().join("a.txt"), "old").unwrap();
    let error = deliver(&directory, b"a.txt", b"new", LocalIfExists::Error)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Exists);
    assert_eq!(names_in(&folder), ["a.txt"]);
    let renamed = deliver(&directory, b"a.txt", b"new", LocalIfExists::Rename)
        .await
        .unwrap();
    assert_eq!(renamed.path, folder.path().join("a1.txt"));
    assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"old");
    deliver(&directory, b"a.txt", b"new", LocalIfExists::Overwrite)
        .await
        .unwrap();
    assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"new");
}

#[tokio::test]
async fn equal_content_counts_as_delivered() {
    let (folder, directory) = directory();
    std::fs::write(folder.path().join("a"), "same").unwrap();
    let placed = deliver(&directory, b"a", b"same", LocalIfExists::Error)
        .await
        .unwrap();
    assert!(placed.already_present);
    assert_eq!(names_in(&folder), ["a"]);
    assert!(
        deliver(&directory, b"a", b"sane", LocalIfExists::Error)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_link_of_the_name_is_neither_followed_nor_replaced() {
    let (folder, directory) = directory();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "data").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("a")).unwrap();
    assert!(
        deliver(&directory, b"a", b"data", LocalIfExists::Error)
            .await
            .is_err()
    );
    deliver(&directory, b"a", b"new", LocalIfExists::Overwrite)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"data");
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"new");
}

#[tokio::test]
async fn what_is_given_up_leaves_nothing() {
    let (folder, directory) = directory();
    let mut part = begin(&directory, b"a", Checksum::None).await.unwrap();
    part.write(Bytes::from_static(b"half")).await.unwrap();
    part.abandon().await;
    assert_eq!(names_in(&folder), [""; 0]);
    let part = begin(&directory, b"a", Checksum::None).await.unwrap();
    drop(part.finish().await.unwrap());
    assert_eq!(names_in(&folder), [""; 0]);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let (_folder, directory) = directory();
    for name in [&b"../a"[..], b"..", b"a/b", b"", b"a\0"] {
        assert!(begin(&directory, name, Checksum::None).await.is_err());
    }
}

#[tokio::test]
async fn the_checksum_is_that_of_the_content() {
    let (_folder, directory) = directory();
    let mut part = begin(&directory, b"a", Checksum::Sha256).await.unwrap();
    for _ in 0..3000 {
        part.write(Bytes::from_static(b"0123456789")).await.unwrap();
    }
    let complete = part.finish().await.unwrap();
    let expected = ring::digest::digest(&SHA256, &b"0123456789".repeat(3000));
    assert_eq!(complete.sha256().unwrap(), expected.as_ref());
    assert_eq!(complete.size(), 30_000);
}
