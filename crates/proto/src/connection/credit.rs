//! Flow control of one channel (RFC 4254 §5.2): what the peer may still send, and what we may.
//!
//! All arithmetic on windows is in this file, and all of it is checked. What the bytes are, and
//! where they wait, is not known here.

use crate::error::PeerMisbehaved;

/// Most data that is put into one message of ours, whatever the peer would take, in bytes: what
/// OpenSSH and this crate read in one packet.
pub(super) const LARGEST_PIECE: usize = 256 * 1024;

/// Receive credit: what the peer may still send, and what it may be told that it may send again.
///
/// Three numbers share the target between them: `window` is with the peer, `held` waits here for its
/// reader, and the rest is owed to the peer. Only a reader who takes data makes the rest grow.
#[derive(Debug)]
pub(super) struct Credit {
    target: u32,
    window: u32,
    held: u32,
    max_packet: u32,
}

impl Credit {
    /// A channel that announced a window of `target` bytes, and messages of at most `max_packet`.
    pub(super) const fn new(target: u32, max_packet: u32) -> Self {
        Self {
            target,
            window: target,
            held: 0,
            max_packet,
        }
    }

    /// Data has arrived, and is held from now on.
    ///
    /// RFC 4254 §5.2: "The maximum amount of data allowed is determined by the maximum packet size
    /// for the channel, and the current window size, whichever is smaller." What goes beyond may be
    /// ignored, but a peer that has lost count cannot be served.
    pub(super) fn spend(&mut self, arrived: usize) -> Result<u32, PeerMisbehaved> {
        let arrived = u32::try_from(arrived)
            .ok()
            .filter(|&it| it <= self.max_packet)
            .ok_or(PeerMisbehaved::ChannelPacketTooLong)?;
        self.window = self
            .window
            .checked_sub(arrived)
            .ok_or(PeerMisbehaved::WindowExceeded)?;
        self.held = self.held.saturating_add(arrived);
        Ok(arrived)
    }

    /// A reader took `bytes` of what was held.
    pub(super) const fn take(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.held, "nobody reads what did not arrive");
        self.held = self.held.saturating_sub(bytes);
    }

    /// How many bytes the window is to be adjusted by now: a quarter of a target at a time. Adjustments
    /// stay rare, and a far peer that has three quarters under way never waits for one.
    pub(super) fn due(&mut self) -> Option<u32> {
        let owed = self
            .target
            .saturating_sub(self.window.saturating_add(self.held));
        if owed == 0 || owed < self.target / 4 {
            return None;
        }
        // Cannot exceed the target, a u32: RFC 4254 §5.2 forbids windows above 2³²-1.
        self.window += owed;
        Some(owed)
    }

    /// Aims at another window. A larger one is given as soon as a quarter of it is owed; a smaller one is
    /// reached as the peer uses up what it has.
    pub(super) const fn set_target(&mut self, target: u32) {
        self.target = target;
    }

    /// Bytes that wait here for their reader.
    #[cfg(test)]
    pub(super) const fn held(&self) -> u32 {
        self.held
    }

    /// Bytes that the peer may still send.
    #[cfg(test)]
    pub(super) const fn window(&self) -> u32 {
        self.window
    }
}

/// Send credit: what the peer lets us send.
#[derive(Debug)]
pub(super) struct Allowance {
    window: u32,
    max_packet: u32,
}

impl Allowance {
    /// Of a channel that the peer has not confirmed: nothing.
    pub(super) const NONE: Self = Self {
        window: 0,
        max_packet: 0,
    };

    /// What the peer announced. A maximum packet size of 0 would let no byte through, ever.
    pub(super) const fn new(window: u32, max_packet: u32) -> Result<Self, PeerMisbehaved> {
        if max_packet == 0 {
            return Err(PeerMisbehaved::UselessChannel);
        }
        Ok(Self { window, max_packet })
    }

    /// The peer adjusts the window.
    ///
    /// RFC 4254 §5.2: "Implementations MUST correctly handle window sizes of up to 2^32 - 1 bytes.
    /// The window MUST NOT be increased above 2^32 - 1 bytes."
    pub(super) fn grant(&mut self, bytes: u32) -> Result<(), PeerMisbehaved> {
        self.window = self
            .window
            .checked_add(bytes)
            .ok_or(PeerMisbehaved::WindowOverflow)?;
        Ok(())
    }

    /// Takes credit for one message out of `queued` waiting bytes, and says for how many; 0 when
    /// nothing may be sent.
    pub(super) fn claim(&mut self, queued: usize) -> u32 {
        let most = u32::try_from(queued.min(LARGEST_PIECE)).unwrap_or(u32::MAX);
        let bytes = most.min(self.window).min(self.max_packet);
        self.window -= bytes;
        bytes
    }

    /// Bytes that we may still send.
    pub(super) const fn window(&self) -> u32 {
        self.window
    }

    /// Most data that the peer takes in one message, in bytes.
    pub(super) const fn max_packet(&self) -> u32 {
        self.max_packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_given_back_by_quarters_and_only_for_what_was_taken() {
        let mut credit = Credit::new(1000, 600);
        assert_eq!(credit.spend(600), Ok(600));
        assert_eq!(credit.due(), None, "nothing was taken");
        credit.take(249);
        assert_eq!(credit.due(), None, "less than a quarter");
        credit.take(1);
        assert_eq!(credit.due(), Some(250));
        assert_eq!(credit.due(), None, "not twice");
        assert_eq!((credit.window(), credit.held()), (650, 350));
    }

    #[test]
    fn more_than_the_window_or_the_announced_packet_is_refused() {
        let mut credit = Credit::new(1000, 600);
        assert_eq!(credit.spend(601), Err(PeerMisbehaved::ChannelPacketTooLong));
        assert_eq!(
            credit.spend(usize::MAX),
            Err(PeerMisbehaved::ChannelPacketTooLong)
        );
        assert_eq!(credit.spend(600), Ok(600));
        assert_eq!(credit.spend(401), Err(PeerMisbehaved::WindowExceeded));
        assert_eq!(credit.spend(400), Ok(400));
        assert_eq!(credit.spend(1), Err(PeerMisbehaved::WindowExceeded));
    }

    #[test]
    fn a_window_grows_at_once_and_shrinks_as_it_is_used() {
        let mut credit = Credit::new(1000, 1000);
        credit.set_target(3000);
        assert_eq!(credit.due(), Some(2000));
        credit.set_target(100);
        assert_eq!(credit.spend(1000), Ok(1000));
        credit.take(1000);
        assert_eq!(credit.due(), None, "the peer still has 2000");
        credit.spend(1000).unwrap();
        credit.spend(1000).unwrap();
        credit.take(2000);
        assert_eq!(credit.due(), Some(100));
        let mut credit = Credit::new(u32::MAX, u32::MAX);
        assert_eq!(
            credit.spend(usize::try_from(u32::MAX).unwrap()),
            Ok(u32::MAX)
        );
        credit.take(u32::MAX);
        assert_eq!(credit.due(), Some(u32::MAX));
        let mut credit = Credit::new(1, 1);
        credit.spend(1).unwrap();
        assert_eq!(credit.due(), None);
        credit.take(1);
        assert_eq!(credit.due(), Some(1), "a window of one byte does not stall");
    }

    #[test]
    fn the_peers_window_may_reach_its_limit_and_not_pass_it() {
        let mut allowance = Allowance::new(1, 10).unwrap();
        assert_eq!(allowance.grant(u32::MAX - 1), Ok(()));
        assert_eq!(allowance.grant(0), Ok(()));
        assert_eq!(allowance.grant(1), Err(PeerMisbehaved::WindowOverflow));
        assert_eq!(allowance.window(), u32::MAX);
        assert_eq!(
            Allowance::new(5, 0).unwrap_err(),
            PeerMisbehaved::UselessChannel
        );
    }

    #[test]
    fn a_claim_is_the_least_of_queue_window_packet_and_our_own_limit() {
        let mut allowance = Allowance::new(25, 10).unwrap();
        assert_eq!(
            [3, 100, 100, 100, 100].map(|queued| allowance.claim(queued)),
            [3, 10, 10, 2, 0]
        );
        let mut allowance = Allowance::new(u32::MAX, u32::MAX).unwrap();
        assert_eq!(allowance.claim(usize::MAX), 256 * 1024);
        assert_eq!(Allowance::NONE.window(), 0);
    }
}
