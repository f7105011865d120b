//! The server's half (stand-in).
use super::*;
use crate::role::Server;
/// Events.
#[derive(Debug)]
pub enum Event {}
/// The machine.
#[derive(Debug)]
pub struct Auth {
    session: SessionId,
}
impl Machine for Auth {
    type Role = Server;
    type Event = Event;
    const IGNORED_LATE: &'static [u8] = &[];
    fn start(session: SessionId, _: Arc<Config<Server>>) -> Self { Self { session } }
    fn poll_events(&mut self, _: &mut VecDeque<Event>) {}
    fn learn(&mut self, _: &ExtInfo) {}
    fn wants_input(&self) -> bool { true }
    fn handle(self, payload: Payload<Server, wire::Auth>, _: &mut VecDeque<Event>) -> Result<Step<Self>, Error> {
        if payload.number() == 52 { return Ok(Step::Done(Authenticated { user: format!("{:?}", self.session) })); }
        Err(payload.unexpected("authentication"))
    }
    fn poll_message(&mut self, _: &mut BytesMut) -> bool { false }
    fn stage(&self) -> &'static str { "authentication" }
}
