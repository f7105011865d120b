//! Gets the new orders of a partner, books each while it arrives, and deletes it there once it is
//! booked.
//!
//! `cargo run --example fetch_orders -- partner.toml`, where the file holds the keys of a connection:
//! `host`, `user`, `private-key`, `known-host` and the like.

use futures_util::StreamExt;
use sansftp_connector::connection::Connection;
use sansftp_connector::document::{Body, Document};
use sansftp_connector::operation::{Get, GetAction, Operation};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Connector, Destination};
use tokio::sync::mpsc;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result {
    let file = std::env::args().nth(1).ok_or("which connection?")?;
    let connection: Connection = toml::from_str(&std::fs::read_to_string(file)?)?;
    let get = Operation::Get(Get {
        action: GetAction::GetAndDelete,
        file_filter: Some("ord*.csv".to_owned()),
        ..Get::default()
    });
    let (sender, mut orders) = mpsc::channel(1);
    let outcomes = Connector::new(SftpConnect::prepare(&connection, None)?, connection)
        .with_destination(Destination::Documents(sender))
        .run(get, futures_util::stream::iter([Document::empty()]));

    let booking = async {
        while let Some(order) = orders.recv().await {
            if let Err(error) = book(order).await {
                eprintln!("not booked, so it stays where it is: {error}");
            }
        }
    };
    let told = outcomes.for_each(|outcome| async move {
        println!("{}", serde_json::to_string(&outcome).unwrap_or_default());
    });
    tokio::join!(booking, told);
    Ok(())
}

/// Takes an order in, chunk by chunk. A `Delivery` that is dropped on an error is not confirmed.
async fn book(order: Document) -> Result {
    let (Body::Stream(mut chunks), Some(delivery)) = (order.body, order.delivery) else {
        return Err("a document of Get has a stream and a delivery".into());
    };
    let mut lines = 0;
    while let Some(chunk) = chunks.next().await {
        lines += chunk?.iter().filter(|&&byte| byte == b'\n').count();
    }
    println!("{:?}: {lines} lines", order.properties.text("filename"));
    delivery.confirm();
    Ok(())
}
