//! Pictures made of characters.

use hushwire_data::Image;

/// Pixels from this value up are drawn.
const BRIGHT: u8 = 96;

/// An image as text: a character for two pixels, one above the other.
pub fn half_blocks(image: &Image) -> Vec<String> {
    let grey = image.to_grey();
    let rows: Vec<&[u8]> = grey.pixels().chunks_exact(grey.width()).collect();
    let line = |pair: &[&[u8]]| {
        let bright = |row: usize, x: usize| pair.get(row).is_some_and(|row| row[x] >= BRIGHT);
        (0..grey.width())
            .map(|x| match (bright(0, x), bright(1, x)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect()
    };
    rows.chunks(2).map(line).collect()
}

/// Blocks of text beside each other, each `width` characters wide.
pub fn beside(blocks: &[Vec<String>], width: usize) -> String {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |y: usize| {
        let cell = |block: &Vec<String>| {
            let text = block.get(y).map_or("", String::as_str);
            format!("{text:width$}")
        };
        let cells: Vec<String> = blocks.iter().map(cell).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_make_a_line() {
        let image = Image::new(3, 4, 1, vec![0, 255, 0, 255, 0, 0, 255, 255, 255, 0, 0, 0]);
        let lines = half_blocks(&image.unwrap());
        assert_eq!(lines, [" ▀▄█", "▀   "]);
        assert_eq!(beside(&[lines.clone(), vec!["x".to_owned()]], 5), " ▀▄█   x\n▀\n");
    }
}
