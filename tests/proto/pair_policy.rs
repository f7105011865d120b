//! What an agreeable application does at both ends of a pair: trusts, accepts, opens one channel. For tests that disturb
//! the links and look at what becomes of it.

use sansftp_proto::auth::client::{Credential, Event as ClientAuth};
use sansftp_proto::auth::server::{Event as ServerAuth, Verdict};
use sansftp_proto::connection::ChannelEvent;
use sansftp_proto::session::{ClientEvent, ServerEvent, Trust};
use sansftp_testkit::pair::Pair;

/// Goes as far as it gets.
pub(crate) fn log_in(pair: &mut Pair) {
    loop {
        pair.drive();
        if let Some(event) = pair.client_events.pop_front() {
            match event {
                ClientEvent::HostKey(key) => {
                    let _ = pair.client.judge(key, Trust::Trusted);
                }
                ClientEvent::Auth(ClientAuth::AuthRequired { turn, .. }) => {
                    let user = "u".to_owned();
                    let _ = pair.client.authenticate(turn, Credential::None { user });
                }
                ClientEvent::Authenticated => {
                    if let Some(mux) = pair.client.mux() {
                        mux.open_session().expect("there is room for a channel");
                    }
                }
                _ => {}
            }
        } else if let Some(event) = pair.server_events.pop_front() {
            match event {
                ServerEvent::Auth(ServerAuth::Attempt(attempt)) => {
                    assert_eq!(attempt.user, "u", "nobody else tried to get in");
                    let _ = pair.server.decide(attempt, Verdict::Accept);
                }
                ServerEvent::Channel(ChannelEvent::Offered(offer)) => {
                    if let Some(mux) = pair.server.mux() {
                        mux.accept(offer);
                    }
                }
                _ => {}
            }
        } else {
            return;
        }
    }
}
