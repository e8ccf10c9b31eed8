use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::{DataError, Mask};

/// Most bytes the decoder may take for one mask.
const MAX_DECODED: usize = 1 << 28;

/// Decodes a PNG whose palette *indices* are classes. General image libraries replace indices by
/// the palette's colours, so this asks the PNG decoder for the bytes as they are.
pub(crate) fn decode_mask(name: &str, bytes: &[u8]) -> Result<Mask, DataError> {
    let failed = |e: png::DecodingError| DataError::decode(name, e);
    let limits = Limits { bytes: MAX_DECODED };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(failed)?;
    let (color, depth) = reader.output_color_type();
    if !matches!(color, ColorType::Indexed | ColorType::Grayscale) || depth != BitDepth::Eight {
        let what = format!("a mask has 8-bit palette or grey pixels, not {depth:?}-bit {color:?}");
        return Err(DataError::decode(name, what));
    }
    let size = reader.output_buffer_size().filter(|&size| size <= MAX_DECODED);
    let Some(size) = size else { return Err(DataError::decode(name, "the mask is too large")) };
    let mut classes = vec![0; size];
    let info = reader.next_frame(&mut classes).map_err(failed)?;
    classes.truncate(info.buffer_size());
    Mask::new(info.height as usize, info.width as usize, classes)
}
