//! Upcasters: an old form of an event becomes the next one, step by step, when it is read.
//!
//! Invariant: a recorded payload is never rewritten. To change the form of an event, raise its
//! version in the table of [`crate::event`], freeze a fixture of the new form, and add the step
//! from the old version here; every old fixture must still decode.

use crate::error::CodecError;
use std::borrow::Cow;

/// One step: payload of `(kind, from)` to payload of `(kind, from + 1)`.
type Step = (u16, u16, fn(&[u8]) -> Result<Vec<u8>, CodecError>);

/// All steps.
const STEPS: &[Step] = &[(21, 1, peer_approved_1)];

/// The first form had no name, which is the last field: `None` is one byte.
#[expect(clippy::unnecessary_wraps, reason = "other steps may fail")]
fn peer_approved_1(payload: &[u8]) -> Result<Vec<u8>, CodecError> {
    Ok([payload, &[0]].concat())
}

/// The payload in the newest form that steps lead to, and its version.
pub(crate) fn to_newest(
    kind: u16,
    version: u16,
    payload: &[u8],
) -> Result<(u16, Cow<'_, [u8]>), CodecError> {
    climb(STEPS, kind, version, payload)
}

fn climb<'a>(
    steps: &[Step],
    kind: u16,
    mut version: u16,
    payload: &'a [u8],
) -> Result<(u16, Cow<'a, [u8]>), CodecError> {
    let mut payload = Cow::Borrowed(payload);
    while let Some((_, _, step)) = steps
        .iter()
        .find(|(of, from, _)| *of == kind && *from == version)
    {
        payload = Cow::Owned(step(&payload)?);
        version += 1;
    }
    Ok((version, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, PeerApproved};

    #[test]
    fn steps_chain_until_no_step_is_left() {
        let steps: &[Step] = &[
            (7, 1, |p| Ok([p, &[1]].concat())),
            (7, 2, |p| Ok([p, &[2]].concat())),
        ];
        let (version, payload) = climb(steps, 7, 1, &[0]).unwrap();
        assert_eq!((version, payload.as_ref()), (3, [0, 1, 2].as_slice()));
        let (version, payload) = climb(steps, 8, 1, &[0]).unwrap();
        assert_eq!((version, payload.as_ref()), (1, [0].as_slice()));
    }

    #[test]
    fn an_approval_of_the_first_form_has_no_name_and_is_otherwise_the_same() {
        // Person, channel, account, and that he is the operator.
        let first = b"\x02p1\x08telegram\x03bot\x01";
        let event = Event::decode(21, 1, first).unwrap();
        let expected = PeerApproved {
            peer: "p1".into(),
            channel: "telegram".into(),
            account: "bot".into(),
            is_operator: true,
            name: None,
        };
        assert_eq!(event, Event::from(expected));
        assert!(Event::decode(21, 1, &first[..15]).is_err(), "cut short");
    }
}
