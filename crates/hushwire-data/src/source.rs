use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::formats::archive::Archive;
use crate::formats::cifar::CifarRows;
use crate::formats::idx::IdxPair;
use crate::formats::mask::decode_mask;
use crate::formats::oscillator::Signals;
use crate::formats::packed::Packed;
use crate::image::decode_image;
use crate::{DataError, Label, Sample};

/// A data set this crate can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dataset {
    /// Handwritten digits, 28 x 28 grey: `t10k-*` and `train-*` IDX files, gzip or plain.
    Mnist,
    /// Ten kinds of objects, 32 x 32 RGB: `test_batch.bin` and `data_batch_1..5.bin`, each
    /// plain, `.gz` or `.xz`; training batches may be missing from the end.
    Cifar10,
    /// Validation JPEGs of 1000 classes: `val300_labels.txt` (lines `NAME, CLASS`) and
    /// `val300_227px.tar` or a folder with the same files.
    Imagenet,
    /// Photos with palette masks of 21 classes: `voc2012_73.tar`, or a folder with the same
    /// contents or with the layout of Pascal VOC 2012.
    Voc,
    /// Signals of a damped, driven oscillator as 1 x 128 grey images, in six regimes. They are
    /// computed: a seed stands in the place of a folder.
    Oscillator,
}

impl Dataset {
    const ALL: [Self; 5] =
        [Self::Mnist, Self::Cifar10, Self::Imagenet, Self::Voc, Self::Oscillator];

    /// The name in a model's metadata and in `KIND:DIR`: `mnist`, `cifar10`, `imagenet`, `voc` or
    /// `oscillator`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Imagenet => "imagenet",
            Self::Voc => "voc",
            Self::Oscillator => "oscillator",
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Split {
    /// Images for measuring: MNIST's and CIFAR's test sets, ImageNet's and VOC's validation sets.
    #[default]
    Test,
    /// Images for training and calibration; ImageNet has none here.
    Train,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => "test",
            Self::Train => "train",
        })
    }
}

/// A data set in a folder, written `KIND:DIR`.
///
/// `DIR` is the folder with the files, or one above it: `DIR/KIND` and `DIR/data/KIND` are tried
/// as well. Oscillators need no files: `DIR` is a number, the seed.
///
/// ```
/// let source: hushwire_data::Source = "mnist:/data/mnist".parse()?;
/// assert_eq!(source.dataset().name(), "mnist");
/// # Ok::<(), hushwire_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    dataset: Dataset,
    dir: PathBuf,
}

impl FromStr for Source {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let unknown = || DataError::UnknownSource { text: text.to_owned() };
        let (kind, dir) = text.split_once(':').ok_or_else(unknown)?;
        let dataset = Dataset::ALL.into_iter().find(|d| d.name() == kind);
        match dataset {
            Some(Dataset::Oscillator) if dir.parse::<u64>().is_err() => Err(unknown()),
            Some(dataset) if !dir.is_empty() => Ok(Self::new(dataset, dir)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dataset, self.dir.display())
    }
}

impl Source {
    /// A data set in a folder; nothing is opened yet.
    pub fn new(dataset: Dataset, dir: impl Into<PathBuf>) -> Self {
        Self { dataset, dir: dir.into() }
    }

    /// The data set.
    pub fn dataset(&self) -> Dataset {
        self.dataset
    }

    /// The folder as the user named it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens a split and gives its samples in the files' order, at most `limit` of them. Images
    /// are read and decoded one at a time as the iterator is advanced.
    ///
    /// # Errors
    /// At once when files are missing or their headers are damaged; later from the iterator when
    /// an image is.
    pub fn load(&self, split: Split, limit: Option<usize>) -> Result<Samples, DataError> {
        let limit = limit.unwrap_or(usize::MAX);
        match self.dataset {
            Dataset::Mnist => {
                let pair = self.mnist(split)?;
                let count = pair.count;
                Ok(Samples::new(pair, limit, Some(count)))
            }
            Dataset::Cifar10 => Ok(Samples::new(self.cifar10(split)?, limit, None)),
            Dataset::Imagenet => self.imagenet(split, limit),
            Dataset::Voc => self.voc(split, limit),
            Dataset::Oscillator => {
                // Sources that were not parsed may have any folder.
                let seed = self.dir.to_str().and_then(|text| text.parse().ok());
                let seed =
                    seed.ok_or_else(|| DataError::UnknownSource { text: self.to_string() })?;
                let signals = Signals::new(seed, split);
                let count = signals.total();
                Ok(Samples::new(signals, limit, Some(count)))
            }
        }
    }

    /// The first of the possible folders in which `find` finds something.
    fn search<T>(&self, what: &str, find: impl Fn(&Path) -> Option<T>) -> Result<T, DataError> {
        let below = |dir: &Path| dir.join(self.dataset.name());
        let dirs = [self.dir.clone(), below(&self.dir), below(&self.dir.join("data"))];
        dirs.iter().find_map(|dir| find(dir)).ok_or_else(|| DataError::Missing {
            what: what.to_owned(),
            dir: self.dir.clone(),
            dataset: self.dataset,
        })
    }

    fn mnist(&self, split: Split) -> Result<IdxPair, DataError> {
        let stem = match split {
            Split::Test => "t10k",
            Split::Train => "train",
        };
        // Copies of MNIST are spread with either a hyphen or a dot.
        let file = |dir: &Path, kind: &str, rank: u8| {
            ['-', '.'].into_iter().find_map(|separator| {
                Packed::find(dir, &format!("{stem}-{kind}{separator}idx{rank}-ubyte"))
            })
        };
        let what = format!("{stem}-images-idx3-ubyte[.gz] and {stem}-labels-idx1-ubyte[.gz]");
        let (images, labels) =
            self.search(&what, |dir| Some((file(dir, "images", 3)?, file(dir, "labels", 1)?)))?;
        IdxPair::open(&images, &labels)
    }

    fn cifar10(&self, split: Split) -> Result<CifarRows, DataError> {
        let names = match split {
            Split::Test => vec!["test_batch.bin".to_owned()],
            Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
        };
        let files = self.search(&format!("{}[.xz|.gz]", names[0]), |dir| {
            let files: Vec<_> = names.iter().map_while(|name| Packed::find(dir, name)).collect();
            (!files.is_empty()).then_some(files)
        })?;
        Ok(CifarRows::new(files))
    }

    fn imagenet(&self, split: Split, limit: usize) -> Result<Samples, DataError> {
        if split == Split::Train {
            return Err(DataError::NoSplit { dataset: self.dataset, split });
        }
        let labels = self.search("val300_labels.txt", |dir| {
            Some(dir.join("val300_labels.txt")).filter(|path| path.is_file())
        })?;
        let list = read_labels(&labels)?;
        let dir = labels.parent().unwrap_or(Path::new(""));
        let (tar, folder) = (dir.join("val300_227px.tar"), dir.join("val300_227px"));
        let mut archive = match () {
            () if tar.is_file() => Archive::open_tar(&tar)?,
            () if folder.is_dir() => Archive::Folder(folder),
            () => Archive::Folder(dir.to_path_buf()),
        };
        let count = list.len();
        let samples = list.into_iter().map(move |(file, class)| {
            let image = decode_image(&file, &archive.read(&file)?)?.to_rgb();
            let name = file.rsplit_once('.').map_or(&*file, |(stem, _)| stem).to_owned();
            Ok(Sample { image, label: Label::Class(class), name })
        });
        Ok(Samples::new(samples, limit, Some(count)))
    }

    fn voc(&self, split: Split, limit: usize) -> Result<Samples, DataError> {
        let lists = match split {
            Split::Test => ["val27.txt", "ImageSets/Segmentation/val.txt"],
            Split::Train => ["train46.txt", "ImageSets/Segmentation/train.txt"],
        };
        let found = self.search(&format!("voc2012_73.tar or {}", lists[0]), |dir| {
            let tar = dir.join("voc2012_73.tar");
            if tar.is_file() {
                return Some(Archive::open_tar(&tar));
            }
            let folder = Archive::Folder(dir.to_path_buf());
            lists.iter().any(|list| folder.has(list)).then_some(Ok(folder))
        });
        let mut archive = found??;
        let Some(list) = lists.into_iter().find(|list| archive.has(list)) else {
            return Err(DataError::NoSplit { dataset: self.dataset, split });
        };
        let text = String::from_utf8_lossy(&archive.read(list)?).into_owned();
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let count = names.len();
        let samples = names.into_iter().map(move |name| {
            let file = format!("JPEGImages/{name}.jpg");
            let image = decode_image(&file, &archive.read(&file)?)?.to_rgb();
            let file = format!("SegmentationClass/{name}.png");
            let mask = decode_mask(&file, &archive.read(&file)?)?;
            let sizes = [(image.height(), image.width()), (mask.height(), mask.width())];
            if sizes[0] != sizes[1] {
                let what =
                    format!("the mask's size {:?} is not the image's {:?}", sizes[1], sizes[0]);
                return Err(DataError::decode(&file, what));
            }
            Ok(Sample { image, label: Label::Mask(mask), name })
        });
        Ok(Samples::new(samples, limit, Some(count)))
    }
}

/// File names and classes from lines of `NAME, CLASS`; folders in the names are dropped.
fn read_labels(path: &Path) -> Result<Vec<(String, u32)>, DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io(path))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut offset = 0;
    let mut labels = Vec::new();
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            let parsed = line.rsplit_once(',').and_then(|(name, class)| {
                let name = Path::new(name.trim()).file_name()?.to_str()?.to_owned();
                Some((name, class.trim().parse().ok().filter(|&class| class < 1000)?))
            });
            labels.push(parsed.ok_or_else(|| {
                let what =
                    format!("'{}': expected NAME, CLASS with a class of 0..=999", line.trim());
                DataError::format(path, offset, what)
            })?);
        }
        offset += line.len() as u64;
    }
    Ok(labels)
}

/// The samples of a split, read as they are asked for.
pub struct Samples {
    samples: Box<dyn Iterator<Item = Result<Sample, DataError>> + Send>,
    count: Option<usize>,
}

impl Samples {
    fn new(
        samples: impl Iterator<Item = Result<Sample, DataError>> + Send + 'static,
        limit: usize,
        count: Option<usize>,
    ) -> Self {
        Self { samples: Box::new(samples.take(limit)), count: count.map(|n| n.min(limit)) }
    }

    /// How many samples the whole iterator gives, where the files' headers or lists tell.
    pub fn count_hint(&self) -> Option<usize> {
        self.count
    }
}

impl Iterator for Samples {
    type Item = Result<Sample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.samples.next()
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samples").field("count", &self.count).finish_non_exhaustive()
    }
}
