//! What the logits say about each image.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hushwire_data::{Image, Mask, Preprocess, argmax};
use hushwire_graph::Graph;
use serde::Serialize;

use crate::classes;
use crate::output::{Table, grouped};

/// The answer for one image.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What the image shows.
    Class {
        /// The image.
        file: String,
        /// Name of the class.
        label: String,
        /// Its number.
        class: usize,
        /// Its probability, by softmax.
        score: f64,
        /// The scores of all classes.
        logits: Vec<f32>,
    },
    /// What every pixel shows.
    Map {
        /// The image.
        file: String,
        /// The classes that were found, most pixels first.
        classes: Vec<Share>,
        /// Where the map was written.
        #[serde(skip_serializing_if = "Option::is_none")]
        map: Option<String>,
    },
}

/// A class and its pixels.
#[derive(Debug, Serialize)]
pub struct Share {
    /// Name of the class.
    pub label: String,
    /// Its number.
    pub class: usize,
    /// Pixels of that class.
    pub pixels: usize,
}

/// Image files, read and preprocessed.
pub struct Inputs {
    files: Vec<PathBuf>,
    images: Vec<Image>,
    preprocess: Preprocess,
    /// What the network takes, image after image.
    pub values: Vec<Vec<f32>>,
}

impl Inputs {
    /// Reads image files for a network.
    pub fn load(graph: &Graph, files: &[PathBuf], preprocess: Preprocess) -> Result<Inputs> {
        debug_assert_eq!(preprocess.shape().as_slice(), graph.input_shape().0);
        let read = crate::images::load(&preprocess, files)?;
        let (images, values) = read.into_iter().unzip();
        Ok(Inputs { files: files.to_vec(), images, preprocess, values })
    }

    /// The answers to all images; maps are written to `folder`.
    pub fn answers(
        &self,
        graph: &Graph,
        logits: &[f32],
        folder: Option<&Path>,
    ) -> Result<Vec<Answer>> {
        let len = graph.output_shape().len();
        let one = |(i, logits): (usize, &[f32])| {
            let file = self.files[i].display().to_string();
            if !classes::segments(graph) {
                return Ok(classification(graph, file, logits));
            }
            let size = [self.images[i].height(), self.images[i].width()];
            let mask = self.preprocess.segment(logits, classes::count(graph), size)?;
            let map =
                folder.map(|folder| write_map(folder, i, &self.files[i], &mask)).transpose()?;
            Ok(Answer::Map { file, classes: histogram(graph, &mask), map })
        };
        logits.chunks_exact(len).enumerate().map(one).collect()
    }
}

fn classification(graph: &Graph, file: String, logits: &[f32]) -> Answer {
    let class = argmax(logits, logits.len())[0];
    let best = f64::from(logits[class]);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - best).exp()).sum();
    let label = classes::name(graph, class);
    Answer::Class { file, label, class, score: sum.recip(), logits: logits.to_vec() }
}

fn histogram(graph: &Graph, mask: &Mask) -> Vec<Share> {
    let mut pixels = [0; 256];
    mask.classes().iter().for_each(|&class| pixels[usize::from(class)] += 1);
    let found = pixels.into_iter().enumerate().filter(|(_, pixels)| *pixels > 0);
    let share = |(class, pixels)| Share { label: classes::name(graph, class), class, pixels };
    let mut shares: Vec<Share> = found.map(share).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.pixels));
    shares
}

/// Writes a map as PNG with a palette, and gives its path. The image's position keeps apart files
/// of the same name.
fn write_map(folder: &Path, position: usize, image: &Path, mask: &Mask) -> Result<String> {
    let stem = image.file_stem().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!("{position:04}-{stem}.png"));
    let write = || -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let file = BufWriter::new(File::create(&path)?);
        let (width, height) = (u32::try_from(mask.width())?, u32::try_from(mask.height())?);
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette((0..=255).flat_map(colour).collect::<Vec<u8>>());
        let mut writer = encoder.write_header()?;
        writer.write_image_data(mask.classes())?;
        Ok(writer.finish()?)
    };
    write().with_context(|| format!("cannot write the map {}", path.display()))?;
    Ok(path.display().to_string())
}

/// The colour of a class: Pascal VOC's, whose bits are those of the class spread over the channels.
fn colour(class: u8) -> [u8; 3] {
    std::array::from_fn(|channel| {
        let bit = |k: usize| (class >> (3 * k + channel)) & 1;
        (0..3).filter(|k| 3 * k + channel < 8).fold(0, |value, k| value | bit(k) << (7 - k))
    })
}

/// Answers as people read them.
pub fn table(answers: &[Answer]) -> String {
    let mut table = Table::new(&["image", "label", "score"]);
    for answer in answers {
        match answer {
            Answer::Class { file, label, score, .. } => {
                table.row([file.clone(), label.clone(), format!("{score:.4}")]);
            }
            Answer::Map { file, classes, .. } => {
                for (i, share) in classes.iter().enumerate() {
                    let file = if i == 0 { file.clone() } else { String::new() };
                    let pixels = format!("{} pixels", grouped(share.pixels as u64));
                    table.row([file, share.label.clone(), pixels]);
                }
            }
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_pascal_voc() {
        assert_eq!(
            [0, 1, 2, 15, 20].map(colour),
            [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128],]
        );
        assert_eq!(colour(255), [224, 224, 192]);
    }
}
