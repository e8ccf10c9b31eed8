//! Tiny files of every format, whole and damaged.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use hushwire_data::{DataError, Dataset, Label, Sample, Source, Split};
use lzma_rust2::{XzOptions, XzWriter};
use tempfile::{TempDir, tempdir};

fn all(source: &Source, split: Split) -> Result<Vec<Sample>, DataError> {
    source.load(split, None)?.collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// An IDX file of 32-bit extents and bytes.
fn idx(extents: &[u32], bytes: &[u8]) -> Vec<u8> {
    let magic = 0x0800 + extents.len() as u32;
    let words = std::iter::once(&magic).chain(extents);
    words.flat_map(|w| w.to_be_bytes()).chain(bytes.iter().copied()).collect()
}

fn mnist(images: &[u8], labels: &[u8]) -> (TempDir, Source) {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(dir.path().join("t10k-labels-idx1-ubyte.gz"), gzip(labels)).unwrap();
    let source = Source::new(Dataset::Mnist, dir.path());
    (dir, source)
}

#[test]
fn idx_files() {
    let pixels: Vec<u8> = (0..12).collect();
    let (_dir, source) = mnist(&idx(&[2, 2, 3], &pixels), &idx(&[2], &[7, 1]));
    let samples = all(&source, Split::Test).unwrap();
    assert_eq!(samples.len(), 2);
    let image = &samples[1].image;
    assert_eq!((image.height(), image.width(), image.channels()), (2, 3, 1));
    assert_eq!(image.pixels(), &pixels[6..]);
    assert_eq!(samples[0].label, Label::Class(7));
    assert_eq!(samples[1].name, "00001");
    let mut first = source.load(Split::Test, Some(1)).unwrap();
    assert_eq!(first.count_hint(), Some(1));
    assert!(first.next().is_some() && first.next().is_none());
    assert!(matches!(source.load(Split::Train, None), Err(DataError::Missing { .. })));
}

#[test]
fn damaged_idx_files() {
    let (images, labels) = (idx(&[2, 2, 3], &[9; 12]), idx(&[2], &[7, 1]));
    for length in 0..images.len() {
        let (_dir, source) = mnist(&images[..length], &labels);
        let error = all(&source, Split::Test).unwrap_err();
        assert!(matches!(error, DataError::Format { .. }), "{length} bytes: {error}");
    }
    let (_dir, source) = mnist(&images, &labels[..labels.len() - 1]);
    let error = all(&source, Split::Test).unwrap_err();
    assert!(matches!(error, DataError::Format { offset: 9, .. }), "{error}");
    for (images, labels) in [
        (idx(&[2, 2, 3], &[9; 12]), idx(&[3], &[7, 1, 2])),
        (idx(&[2, 2, 3], &[9; 12]), idx(&[2], &[10, 1])),
        (idx(&[2, 0, 3], &[]), idx(&[2], &[7, 1])),
        (idx(&[2, u32::MAX, u32::MAX], &[]), idx(&[2], &[7, 1])),
        (idx(&[u32::MAX, 28, 28], &[]), idx(&[u32::MAX], &[])),
        (idx(&[12], &[9; 12]), idx(&[2], &[7, 1])),
    ] {
        let (_dir, source) = mnist(&images, &labels);
        let mut errors = match source.load(Split::Test, None) {
            Ok(samples) => samples.filter_map(Result::err).collect(),
            Err(error) => vec![error],
        };
        // One error, not one per promised item.
        assert_eq!(errors.len(), 1);
        assert!(matches!(errors.pop(), Some(DataError::Format { .. })));
    }
}

#[test]
fn cut_compressed_files() {
    let (dir, source) = mnist(&idx(&[2, 2, 3], &[9; 12]), &idx(&[2], &[7, 1]));
    let path = dir.path().join("t10k-labels-idx1-ubyte.gz");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        // A cut end goes unnoticed once all labels are there.
        if let Ok(samples) = all(&source, Split::Test) {
            assert_eq!(samples.len(), 2, "{length} bytes");
        }
    }
    fs::write(&path, b"\x1f\x8b no gzip at all").unwrap();
    assert!(all(&source, Split::Test).is_err());
}

/// Rows of CIFAR-10 whose planes are constant.
fn rows(labels: &[u8]) -> Vec<u8> {
    let planes = [1, 2, 3].iter().flat_map(|&p| [p; 1024]);
    labels.iter().flat_map(|&l| std::iter::once(l).chain(planes.clone())).collect()
}

#[test]
fn cifar_rows() {
    let dir = tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::write(file("test_batch.bin.xz"), xz(&rows(&[3, 8]))).unwrap();
    fs::write(file("data_batch_1.bin"), rows(&[0])).unwrap();
    fs::write(file("data_batch_2.bin.gz"), gzip(&rows(&[1, 2]))).unwrap();
    let source = Source::new(Dataset::Cifar10, dir.path());
    let test = all(&source, Split::Test).unwrap();
    assert_eq!(test.len(), 2);
    assert_eq!(test[1].label, Label::Class(8));
    assert_eq!(test[1].name, "test_batch/00001");
    assert_eq!(test[0].image.pixels()[..6], [1, 2, 3, 1, 2, 3]);
    let train = all(&source, Split::Train).unwrap();
    let labels: Vec<_> = train.iter().map(|s| s.label.clone()).collect();
    assert_eq!(labels, [0, 1, 2].map(Label::Class));

    let mut damaged = rows(&[0, 1]);
    damaged.truncate(3073 + 100);
    fs::write(file("data_batch_1.bin"), &damaged).unwrap();
    let mut samples = source.load(Split::Train, None).unwrap();
    assert!(samples.next().unwrap().is_ok());
    let error = samples.next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::Format { offset: 3173, .. }), "{error}");
    assert!(samples.next().is_none());
    fs::write(file("data_batch_1.bin"), rows(&[10])).unwrap();
    assert!(all(&source, Split::Train).is_err());

    let whole = xz(&rows(&[3]));
    for length in (0..whole.len()).step_by(3) {
        fs::write(file("test_batch.bin.xz"), &whole[..length]).unwrap();
        if let Ok(samples) = all(&source, Split::Test) {
            panic!("{length} of {} bytes gave {} rows", whole.len(), samples.len());
        }
    }
}

fn png(image: &image::DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn write(dir: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn imagenet_from_an_archive_or_a_folder() {
    let grey = png(&image::GrayImage::from_pixel(4, 3, image::Luma([5])).into());
    let color = png(&image::RgbImage::from_pixel(2, 2, image::Rgb([1, 2, 3])).into());
    let files = [("./a.JPEG", grey), ("b.JPEG", color)];
    let root = tempdir().unwrap();
    let dir = root.path().join("imagenet");
    let labels = |text: &str| write(&dir, &[("val300_labels.txt", text.as_bytes().to_vec())]);
    labels("val/b.JPEG, 999\n\na.JPEG,0\n");
    write(&dir, &files);
    let source = Source::new(Dataset::Imagenet, root.path());
    let from_folder = all(&source, Split::Test).unwrap();
    assert_eq!(from_folder[0].label, Label::Class(999));
    assert_eq!(from_folder[0].name, "b");
    assert_eq!(from_folder[1].image.pixels(), [5; 36]);
    let archive = tar(&files);
    write(&dir, &[("val300_227px.tar", archive.clone())]);
    fs::remove_file(dir.join("a.JPEG")).unwrap();
    assert_eq!(all(&source, Split::Test).unwrap(), from_folder);
    assert!(matches!(source.load(Split::Train, None), Err(DataError::NoSplit { .. })));

    // The last file's contents are cut.
    write(&dir, &[("val300_227px.tar", archive[..archive.len() - 1024 - 512].to_vec())]);
    let error = source.load(Split::Test, None).unwrap_err();
    assert!(matches!(error, DataError::Format { .. }), "{error}");
    write(&dir, &[("val300_227px.tar", b"no archive ".repeat(99))]);
    assert!(source.load(Split::Test, None).is_err());
    write(&dir, &[("val300_227px.tar", archive)]);
    labels("a.JPEG, 0\nc.JPEG, 1\nb.JPEG, 2\n");
    let results: Vec<_> = source.load(Split::Test, None).unwrap().map(|s| s.is_ok()).collect();
    assert_eq!(results, [true, false, true]);
    for (text, at) in [("a.JPEG, 0\nb.JPEG\n", 10), ("a.JPEG, 1000", 0), ("a.JPEG, x", 0)] {
        labels(text);
        let error = source.load(Split::Test, None).unwrap_err();
        assert!(matches!(error, DataError::Format { offset, .. } if offset == at), "{error}");
    }
}

/// A palette PNG of 3 x 2 pixels.
fn palette(indices: [u8; 6], depth: png::BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette((0..=255).flat_map(|i| [i, 255 - i, 0]).collect::<Vec<u8>>());
    let rows = if depth == png::BitDepth::Eight { &indices[..] } else { &indices[..4] };
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    bytes
}

#[test]
fn voc_masks_are_palette_indices() {
    let photo = png(&image::RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7])).into());
    let mask = palette([0, 20, 255, 7, 0, 1], png::BitDepth::Eight);
    let four_bits = palette([0, 0, 0, 0, 0, 0], png::BitDepth::Four);
    let tall = png(&image::RgbImage::from_pixel(2, 3, image::Rgb([9, 8, 7])).into());
    let files = [
        ("JPEGImages/one.jpg", photo.clone()),
        ("JPEGImages/two.jpg", photo),
        ("JPEGImages/three.jpg", tall),
        ("SegmentationClass/one.png", mask.clone()),
        ("SegmentationClass/two.png", four_bits),
        ("SegmentationClass/three.png", mask),
        ("val27.txt", b"one\ntwo\nthree\nfour\n".to_vec()),
    ];
    let (archive, folder) = (tempdir().unwrap(), tempdir().unwrap());
    write(archive.path(), &[("voc2012_73.tar", tar(&files))]);
    write(folder.path(), &files);
    for dir in [archive.path(), folder.path()] {
        let source = Source::new(Dataset::Voc, dir);
        let mut samples = source.load(Split::Test, None).unwrap();
        assert_eq!(samples.count_hint(), Some(4));
        let sample = samples.next().unwrap().unwrap();
        let Label::Mask(mask) = sample.label else { panic!("VOC has masks") };
        assert_eq!((mask.height(), mask.width()), (2, 3));
        assert_eq!(mask.classes(), [0, 20, 255, 7, 0, 1]);
        // Indices of four bits, a size that is not the image's, a missing file.
        assert_eq!(samples.filter(Result::is_err).count(), 3);
        assert!(source.load(Split::Train, None).is_err());
    }
}

#[test]
fn sources_are_parsed() {
    let source: Source = "voc:/some/where:else".parse().unwrap();
    assert_eq!(source, Source::new(Dataset::Voc, "/some/where:else"));
    assert_eq!(source.to_string(), "voc:/some/where:else");
    for text in ["", "mnist", "mnist:", "svhn:/x", "MNIST:/x", "/some/where"] {
        let error = text.parse::<Source>().unwrap_err();
        assert!(matches!(error, DataError::UnknownSource { .. }), "{error}");
    }
    let error = Source::new(Dataset::Mnist, "/nowhere").load(Split::Test, None).unwrap_err();
    assert!(error.to_string().contains("t10k-images-idx3-ubyte"), "{error}");
}
