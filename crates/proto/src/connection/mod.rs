//! The connection protocol (RFC 4254) (stand-in).
use crate::auth::Authenticated;
use crate::error::Error;
use crate::limits::Limits;
use crate::packet::Payload;
use crate::role::Role;
use crate::wire::{self, Reader};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::marker::PhantomData;
/// Requests an end may receive.
pub trait InboundRequest: Sized + Debug + Send {
    /// Parses.
    fn parse(name: &str, r: &mut Reader<'_>) -> Option<Self>;
}
/// To the client.
#[derive(Debug)]
pub enum ToClient {}
impl InboundRequest for ToClient { fn parse(_: &str, _: &mut Reader<'_>) -> Option<Self> { None } }
/// To the server.
#[derive(Debug)]
pub enum ToServer {}
impl InboundRequest for ToServer { fn parse(_: &str, _: &mut Reader<'_>) -> Option<Self> { None } }
/// Events.
#[derive(Debug)]
pub enum ChannelEvent<Q> {
    /// Stand-in.
    Request(Q),
}
pub(crate) type EventOf<R> = ChannelEvent<<R as crate::role::sealed::Role>::Inbound>;
/// The multiplexer.
#[derive(Debug)]
pub struct Mux<R: Role>(PhantomData<fn() -> R>);
impl<R: Role> Mux<R> {
    pub(crate) fn new(_proof: Authenticated, _limits: &Limits) -> Self { Self(PhantomData) }
    pub(crate) fn wants_input(&self) -> bool { true }
    pub(crate) fn handle(&mut self, payload: Payload<R, wire::Connection>, _: &mut VecDeque<EventOf<R>>) -> Result<(), Error> { Err(payload.unexpected("connection")) }
    pub(crate) fn poll_message(&mut self, _: &mut BytesMut) -> bool { false }
    pub(crate) fn keepalive(&mut self) {}
}
