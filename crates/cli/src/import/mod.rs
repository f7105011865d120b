//! `sansftp import`: components that the original exported as XML, as a configuration of ours.
//!
//! ```text
//!   XML ─▶ component (the original's words) ─▶ render (our keys) ─▶ TOML, and remarks for people
//! ```
//! Nothing is connected to, and no password is decrypted: what the platform encrypted becomes a
//! reference that somebody fills in. What is not understood is named, never dropped in silence.

mod component;
mod remarks;
mod render;
#[cfg(test)]
mod tests;
mod toml;
mod xml;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sansftp_connector::{Error, Result, printable};

use self::component::Component;
use self::render::Renderer;
use crate::args::ImportArgs;
use crate::exit::Code;

/// Imports, prints or writes the configuration, and lists on standard error what is to be known.
pub(crate) fn run(args: &ImportArgs) -> Code {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for path in &args.files {
        let file = printable(path.as_os_str().as_encoded_bytes()).into_owned();
        match fs::read(path) {
            Ok(document) => documents.push((file, document)),
            Err(error) => errors.push(
                Error::configuration(format!("{file} cannot be read: {error}"))
                    .with_hint("check the path, and that you may read the file"),
            ),
        }
    }
    let imported = import(&documents);
    errors.extend(imported.as_ref().err().into_iter().flatten().cloned());
    let (Ok((configuration, remarks)), true) = (imported, errors.is_empty()) else {
        errors.iter().for_each(complain);
        return Code::Usage;
    };
    let written = match &args.into {
        Some(path) => write(path, &configuration),
        None => print(&configuration),
    };
    if let Err(error) = written {
        complain(&error);
        return Code::of(&error);
    }
    // Without standard error there is nobody to tell.
    let _ = io::stderr().write_all(remarks.as_bytes());
    Code::Done
}

/// The configuration of all components, and the remarks. All errors together: whoever imports a
/// folder wants to know them at once.
fn import(documents: &[(String, Vec<u8>)]) -> Result<(String, String), Vec<Error>> {
    let mut renderer = Renderer::default();
    let mut errors = Vec::new();
    for (file, document) in documents {
        match Component::read(document) {
            Ok(component) => renderer.add(file, &component),
            Err(words) => errors.push(Error::configuration(format!("{file}: {words}")).with_hint(
                "import takes SFTP connections and SFTP operations as the platform exports them, one \
                 component a file; nothing was written",
            )),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let (configuration, remarks) = renderer.finish();
    Ok((configuration, remarks.text()))
}

/// A new file that nobody else may read: secrets are likely to be filled in.
fn write(path: &Path, configuration: &str) -> Result<()> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::configuration(format!("{} is there already", path.display()))
                .with_hint("an import replaces no file; choose another name")
        }
        _ => Error::local_io(path.display().to_string(), error),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(configuration.as_bytes()).map_err(|error| {
        // Half a configuration is worse than none; where it cannot be removed, the error is enough.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

fn print(configuration: &str) -> Result<()> {
    match io::stdout().write_all(configuration.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::local_io("standard output", error))
        }
        // Whoever stops reading has had enough.
        _ => Ok(()),
    }
}

fn complain(error: &Error) {
    let mut text = format!(
        "error ({}): {}\n",
        error.class(),
        printable(error.message().as_bytes())
    );
    for line in error.hint().unwrap_or_default().lines() {
        text.push_str(&format!("hint: {line}\n"));
    }
    // Without standard error there is nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
}
