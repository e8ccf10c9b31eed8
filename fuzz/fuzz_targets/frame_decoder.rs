//! The bytes of one direction of a link.

#![no_main]

use hushwire_net::{FRAME_HEADER_LEN, FrameDecoder, Header, Label, Phase, decode_header};
use libfuzzer_sys::fuzz_target;

/// Small, so that the limit is met.
const MAX_FRAME: usize = 64;

fn frame(sequence: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    let label = Label { phase: Phase::Online, step: 5 };
    let header = Header { label, more, len: payload.len() as u32, sequence };
    [&header.encode()[..], payload].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let message =
        [frame(0, true, &[7; 40]), frame(1, false, b"end"), frame(2, false, &[])].concat();
    vec![message, frame(0, false, &[1; MAX_FRAME + 1])]
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let mut decoder = FrameDecoder::new(MAX_FRAME);
    let mut rest = data;
    loop {
        let before = rest;
        let Ok(Some(frame)) = decoder.read_frame(&mut rest) else { break };
        assert_eq!(frame.payload.len(), frame.header.len as usize);
        assert!(frame.payload.len() <= MAX_FRAME);
        // What is accepted is exactly what the encoder writes.
        let header = frame.header.encode();
        assert_eq!(before[..FRAME_HEADER_LEN], header);
        assert_eq!(decode_header(&header), Ok(frame.header));
        assert_eq!(before.len() - rest.len(), FRAME_HEADER_LEN + frame.payload.len());
    }
});
