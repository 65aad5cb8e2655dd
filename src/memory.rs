//! What a policy takes of a VM's memory, which never shrinks, and of which there is so much.
//!
//! A policy that was accepted must make room for another of its size while it serves. So one that could
//! not is refused when it is configured, in the canary, by a count that comes out the same everywhere.

use std::hint::black_box;

use crate::finding::{Code, Place};
use crate::limits;

/// What a policy takes, in bytes: at most, by its own count, and the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The configuration's text, which is gone when the policy serves.
    pub text: usize,
    /// What else is taken only while it is compiled.
    pub work: usize,
    /// What it takes as long as it serves.
    pub policy: usize,
}

impl Memory {
    /// What a VM needs where another of its size takes its place while it serves, and requests wait.
    ///
    /// The text is counted twice: it has to lie in one piece, and may find none free that is large enough.
    pub fn to_replace(self) -> usize {
        let twice = self.policy.saturating_add(self.text).saturating_mul(2);
        let requests = limits::HELD_BYTES.saturating_add(limits::REQUEST_BYTES);
        twice.saturating_add(self.work).saturating_add(requests)
    }

    /// Whether it can be replaced while it serves; what cannot is refused.
    pub(crate) fn fits(self, place: Place<'_>) -> bool {
        const MEBIBYTE: usize = 1024 * 1024;
        let fits = self.to_replace() <= limits::VM_BYTES;
        if !fits {
            let most = limits::VM_BYTES / MEBIBYTE;
            let message = format!(
                "a policy of this size cannot be replaced while it serves: that takes more than the \
                 {most} MiB of memory that a VM has"
            );
            let requests = (limits::HELD_BYTES + limits::REQUEST_BYTES) / MEBIBYTE;
            place.error(Code::TooLarge, message).help(format!(
                "counted are the policy and its text twice, and {requests} MiB for requests: fewer \
                 keys, shorter attributes, or no metrics for each key make it smaller"
            ));
        }
        fits
    }
}

/// Whether so many bytes can be had now; where not, there is no room for the policy.
pub(crate) fn find_room(bytes: usize, place: Place<'_>) -> bool {
    let has_room = has_room(bytes);
    if !has_room {
        place.error(Code::OutOfMemory, "there is no memory left for the policy");
    }
    has_room
}

/// Whether so many bytes can be had in one piece, in the VM or whatever else this runs in.
pub fn has_room(bytes: usize) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    let has_room = probe.try_reserve_exact(bytes).is_ok();
    // Or else it would not be tried.
    black_box(&mut probe);
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Findings;

    #[test]
    fn two_policies_two_texts_and_what_requests_take_must_fit() {
        let memory = Memory { text: 10, work: 3, policy: 100 };
        assert_eq!(memory.to_replace(), 223 + 96 * 1024 * 1024);
        assert_eq!(Memory { text: usize::MAX, ..memory }.to_replace(), usize::MAX);
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        let findings = Findings::default();
        let memory = Memory { text: 0, work: 0, policy: 464 * 1024 * 1024 };
        assert!(memory.fits(findings.root()));
        assert!(!Memory { work: 1, ..memory }.fits(findings.root()));
        let texts: Vec<String> = findings.into_vec().iter().map(ToString::to_string).collect();
        let expected = "/: a policy of this size cannot be replaced while it serves: that takes more than \
                        the 1024 MiB of memory that a VM has (counted are the policy and its text twice, \
                        and 96 MiB for requests: fewer keys, shorter attributes, or no metrics for each \
                        key make it smaller)";
        assert_eq!(texts, [expected]);
    }

    #[test]
    fn there_is_no_room_for_everything() {
        assert!(has_room(1));
        assert!(!has_room(usize::MAX));
    }
}
