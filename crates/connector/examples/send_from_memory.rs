//! Sends a document that exists in memory only, under a name with the date, and never over another.
//!
//! `cargo run --example send_from_memory -- partner.toml`, where the file holds the keys of a
//! connection: `host`, `user`, `private-key`, `known-host` and the like.

use futures_util::StreamExt;
use sansftp_connector::Connector;
use sansftp_connector::connection::Connection;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Operation, Send};
use sansftp_connector::sftp::SftpConnect;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("which connection?")?;
    let connection: Connection = toml::from_str(&std::fs::read_to_string(file)?)?;
    let send = Operation::Send(Send {
        name_template: Some("{base}-{date}.{extension}".to_owned()),
        ..Send::default()
    });
    let report = Document::bytes("item,price\nbolt,0.12\n").with("filename", "report.csv");

    let connector = Connector::new(SftpConnect::prepare(&connection, None)?, connection);
    let mut outcomes = connector.run(send, futures_util::stream::iter([report]));
    while let Some(outcome) = outcomes.next().await {
        match outcome.error {
            None => println!("it is there as {:?}", outcome.properties.text("filename")),
            Some(error) => println!("{error}; {}", error.hint().unwrap_or_default()),
        }
    }
    Ok(())
}
