//! The real data sets, where the environment variable `HUSHWIRE_DATA` names a folder with them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;

use hushwire_data::{Dataset, Label, Mask, Preprocess, Sample, Source, Split};
use hushwire_graph::{Color, Filter, ImageResize, Layout};

/// The source, or `None` (and a word about it) where there is no data.
fn source(dataset: Dataset) -> Option<Source> {
    let Some(dir) = std::env::var_os("HUSHWIRE_DATA") else {
        eprintln!("skipped: HUSHWIRE_DATA does not name a folder with the data sets");
        return None;
    };
    Some(Source::new(dataset, PathBuf::from(dir)))
}

/// The classes of all samples, with the first sample.
fn classes(source: &Source, split: Split) -> (Sample, Vec<u32>) {
    let mut first = None;
    let classes = source.load(split, None).unwrap().map(|sample| {
        let sample = sample.unwrap();
        let Label::Class(class) = sample.label else { panic!("{} has a mask", sample.name) };
        first.get_or_insert(sample);
        class
    });
    let classes = classes.collect();
    (first.expect("no split is empty"), classes)
}

fn histogram(classes: &[u32]) -> Vec<usize> {
    (0..10).map(|c| classes.iter().filter(|&&class| class == c).count()).collect()
}

fn spec(scale: f32, mean: &[f32], std: &[f32], resize: ImageResize) -> hushwire_graph::Preprocess {
    let color = if mean.len() == 1 { Color::Gray } else { Color::Rgb };
    let (mean, std) = (mean.to_vec(), std.to_vec());
    hushwire_graph::Preprocess { scale, mean, std, layout: Layout::Nchw, color, resize }
}

const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// Compares the network's input with mean, deviation and four elements found by Pillow and numpy.
fn compare(
    spec: &hushwire_graph::Preprocess,
    shape: [usize; 3],
    sample: &Sample,
    moments: [f64; 2],
    elements: [f32; 4],
    tolerance: f64,
) {
    let x = Preprocess::new(spec, &shape).unwrap().apply(&sample.image).unwrap();
    let n = x.len();
    assert_eq!(n, shape.iter().product::<usize>());
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
    let square = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n as f64;
    for (found, expected) in [mean, square.sqrt()].into_iter().zip(moments) {
        // Moments of many pixels are closer than single pixels.
        assert!((found - expected).abs() < tolerance / 10.0, "{found} against {expected}");
    }
    for (at, expected) in [n / 2, n / 2 + 1, n / 3, n / 3 * 2 + 50].into_iter().zip(elements) {
        let difference = f64::from((x[at] - expected).abs());
        assert!(difference < tolerance, "{} against {expected} at {at}", x[at]);
    }
}

#[test]
fn mnist() {
    let Some(source) = source(Dataset::Mnist) else { return };
    let (first, test) = classes(&source, Split::Test);
    assert_eq!(test[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    let counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
    assert_eq!(histogram(&test), counts);
    let (_, train) = classes(&source, Split::Train);
    assert_eq!(train[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    let counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
    assert_eq!(histogram(&train), counts);
    let spec = spec(1.0 / 255.0, &[0.1307], &[0.3081], ImageResize::None);
    let moments = [-0.124_612_403, 0.839_813_535];
    let elements = [-0.424_212_93, -0.424_212_93, 1.026_805_6, -0.386_028_2];
    compare(&spec, [1, 28, 28], &first, moments, elements, 3e-6);
}

#[test]
fn cifar10() {
    let Some(source) = source(Dataset::Cifar10) else { return };
    let (first, test) = classes(&source, Split::Test);
    assert_eq!(test[..10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    assert_eq!(histogram(&test), [1000; 10]);
    let train: Vec<_> =
        source.load(Split::Train, None).unwrap().map(|sample| sample.unwrap().label).collect();
    assert_eq!(train.len(), 40_000);
    assert_eq!(train[..5], [6, 9, 9, 4, 1].map(Label::Class));
    let spec = spec(1.0 / 255.0, &IMAGENET[0], &IMAGENET[1], ImageResize::None);
    let moments = [-0.105_231_476, 0.812_575_091];
    let elements = [1.518_207_3, 0.520_308_14, -0.074_929_975, -1.089_847_4];
    compare(&spec, [3, 32, 32], &first, moments, elements, 3e-6);
}

#[test]
fn imagenet() {
    let Some(source) = source(Dataset::Imagenet) else { return };
    let (first, test) = classes(&source, Split::Test);
    assert_eq!(test.len(), 300);
    assert_eq!(test[..10], [472, 260, 300, 133, 625, 705, 480, 388, 397, 282]);
    assert_eq!(first.name, "ILSVRC2012_val_00000347");
    let crop = ImageResize::CenterCrop { size: [224, 224] };
    let spec = spec(1.0 / 255.0, &IMAGENET[0], &IMAGENET[1], crop);
    let moments = [0.613_700_758, 1.075_996_914];
    let elements = [1.203_081_3, 1.185_574_2, 1.920_868_4, 2.430_849_8];
    // JPEG decoders may differ by a level or two of about 0.017.
    compare(&spec, [3, 224, 224], &first, moments, elements, 0.04);
}

#[test]
fn voc() {
    let Some(source) = source(Dataset::Voc) else { return };
    let samples = |split| -> Vec<Sample> {
        source.load(split, None).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let test = samples(Split::Test);
    assert_eq!((test.len(), samples(Split::Train).len()), (27, 46));
    let mask = |i: usize| -> &Mask {
        let Label::Mask(mask) = &test[i].label else { panic!("VOC has masks") };
        mask
    };
    for (i, (size, object)) in
        [((366, 500), 1), ((335, 500), 19), ((333, 500), 4)].iter().enumerate()
    {
        assert_eq!((mask(i).height(), mask(i).width()), *size);
        let mut found = mask(i).classes().to_vec();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, [0, *object, 255]);
    }
    let fit = ImageResize::Fit { size: [513, 513], filter: Filter::Bilinear, fill: 127.0 };
    let spec = spec(1.0 / 128.0, &[1.0; 3], &[1.0; 3], fit);
    let moments = [0.188_587_912, 0.483_446_769];
    let elements = [-0.726_562_5, -0.695_312_5, 0.726_562_5, 0.734_375];
    compare(&spec, [3, 513, 513], &test[0], moments, elements, 0.02);
}
