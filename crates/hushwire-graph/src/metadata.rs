//! What a file says about its data: task, preprocessing and labels.
//!
//! ONNX stores text properties; the structured ones are JSON, which is parsed here into types.

use serde::{Deserialize, Serialize};

use crate::{ImportError, Shape};

/// Properties of a model; a file need not have any.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// What the output means.
    pub task: Task,
    /// Name of the data set the network was trained for.
    pub dataset: Option<String>,
    /// How an image becomes the network's input.
    pub preprocess: Option<Preprocess>,
    /// Names of the classes.
    pub labels: Option<Labels>,
}

/// What the output means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Task {
    /// One score per class, `[classes]`.
    #[default]
    Classification,
    /// One score per class and pixel, `[classes, H, W]`.
    Segmentation,
}

/// How an image becomes the network's input: after resizing, per channel
/// `input = (pixel * scale - mean) / std` with pixels in 0..=255.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preprocess {
    /// Factor of the pixels.
    pub scale: f32,
    /// Subtracted from each channel.
    pub mean: Vec<f32>,
    /// Divides each channel; finite and not 0, as many as `mean`.
    pub std: Vec<f32>,
    /// Order of the axes.
    pub layout: Layout,
    /// Order of the channels.
    pub color: Color,
    /// How the image gets the input's extents.
    pub resize: ImageResize,
}

/// Order of the axes of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Layout {
    /// Channels, rows, columns.
    #[default]
    #[serde(rename = "NCHW")]
    Nchw,
    /// Rows, columns, channels.
    #[serde(rename = "NHWC")]
    Nhwc,
}

/// Channels of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Color {
    /// One channel of luminance.
    #[serde(rename = "GRAY")]
    Gray,
    /// Red, green, blue.
    #[default]
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue, green, red.
    #[serde(rename = "BGR")]
    Bgr,
}

/// How an image gets the extents of the input; sizes are `[height, width]`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub enum ImageResize {
    /// It has them already.
    #[default]
    None,
    /// The middle is cut out.
    CenterCrop {
        /// Extents of the cut.
        size: [usize; 2],
    },
    /// It is scaled, keeping its proportions, until the longer side fits, and put into the top
    /// left corner.
    Fit {
        /// Extents of the result.
        size: [usize; 2],
        /// Interpolation.
        filter: Filter,
        /// Pixel value of the rest.
        fill: f32,
    },
}

/// Interpolation when an image is scaled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Linear in both directions.
    #[default]
    Bilinear,
    /// Nearest pixel.
    Nearest,
    /// Cubic in both directions.
    Bicubic,
}

/// Names of the classes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Labels {
    /// One name per class.
    Names(Vec<String>),
    /// Lines of a file.
    File {
        /// Path below the data folder.
        path: String,
        /// Class `c` is line `c - offset`, from 0; classes below are background.
        offset: usize,
    },
}

/// The JSON of property `preprocess`.
#[derive(Serialize, Deserialize)]
struct PreprocessJson {
    #[serde(default = "one")]
    scale: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    #[serde(default)]
    layout: Layout,
    #[serde(default)]
    color: Color,
    #[serde(default)]
    resize: Option<ResizeJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
enum ResizeJson {
    CenterCrop {
        size: [usize; 2],
    },
    Fit {
        size: [usize; 2],
        #[serde(default)]
        filter: Filter,
        #[serde(default)]
        fill: f32,
    },
}

/// The JSON of property `labels`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LabelsJson {
    Names {
        names: Vec<String>,
    },
    File {
        file: String,
        #[serde(default)]
        offset: usize,
    },
}

fn one() -> f32 {
    1.0
}

impl Metadata {
    /// The properties that [`from_properties`](Self::from_properties) reads as this value.
    pub(crate) fn to_properties(&self) -> Vec<(String, String)> {
        let task = match self.task {
            Task::Classification => "classification",
            Task::Segmentation => "segmentation",
        };
        let mut properties = vec![("task".to_owned(), task.to_owned())];
        if let Some(dataset) = &self.dataset {
            properties.push(("dataset".to_owned(), dataset.clone()));
        }
        // Maps with text keys and finite numbers always have a JSON form.
        let preprocess = self.preprocess.clone().map(PreprocessJson::from);
        if let Some(json) = preprocess.and_then(|p| serde_json::to_string(&p).ok()) {
            properties.push(("preprocess".to_owned(), json));
        }
        let labels = self.labels.clone().map(LabelsJson::from);
        if let Some(json) = labels.and_then(|l| serde_json::to_string(&l).ok()) {
            properties.push(("labels".to_owned(), json));
        }
        properties
    }

    /// Reads the properties this crate knows; others are ignored. Without a task, an output with
    /// spatial axes is a segmentation.
    pub(crate) fn from_properties<'a>(
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
        output: &Shape,
    ) -> Result<Self, ImportError> {
        let task = if output.rank() == 3 { Task::Segmentation } else { Task::Classification };
        let mut metadata = Self { task, ..Self::default() };
        for (key, value) in properties {
            match key {
                "task" => metadata.task = parse_task(value)?,
                "dataset" => metadata.dataset = Some(value.to_owned()),
                "preprocess" => metadata.preprocess = Some(parse_preprocess(value)?),
                "labels" => metadata.labels = Some(parse_labels(value)?),
                _ => {}
            }
        }
        Ok(metadata)
    }
}

fn parse_task(value: &str) -> Result<Task, ImportError> {
    match value {
        "classification" => Ok(Task::Classification),
        "segmentation" => Ok(Task::Segmentation),
        _ => Err(invalid("task", format!("'{value}' is neither classification nor segmentation"))),
    }
}

fn parse_preprocess(value: &str) -> Result<Preprocess, ImportError> {
    let json: PreprocessJson =
        serde_json::from_str(value).map_err(|e| invalid("preprocess", e.to_string()))?;
    let PreprocessJson { scale, mean, std, layout, color, resize } = json;
    let numbers = std::iter::once(&scale).chain(&mean).chain(&std);
    if mean.len() != std.len() || std.contains(&0.0) || numbers.copied().any(|x| !x.is_finite()) {
        let reason = "mean and std must be finite and equally long, and std not 0".to_owned();
        return Err(invalid("preprocess", reason));
    }
    let resize = match resize {
        None => ImageResize::None,
        Some(ResizeJson::CenterCrop { size }) => ImageResize::CenterCrop { size },
        Some(ResizeJson::Fit { size, filter, fill }) => ImageResize::Fit { size, filter, fill },
    };
    Ok(Preprocess { scale, mean, std, layout, color, resize })
}

fn parse_labels(value: &str) -> Result<Labels, ImportError> {
    let json = serde_json::from_str(value).map_err(|e| invalid("labels", e.to_string()))?;
    Ok(match json {
        LabelsJson::Names { names } => Labels::Names(names),
        LabelsJson::File { file, offset } => Labels::File { path: file, offset },
    })
}

fn invalid(key: &'static str, reason: String) -> ImportError {
    ImportError::Metadata { key, reason }
}

impl From<Preprocess> for PreprocessJson {
    fn from(preprocess: Preprocess) -> Self {
        let Preprocess { scale, mean, std, layout, color, resize } = preprocess;
        let resize = match resize {
            ImageResize::None => None,
            ImageResize::CenterCrop { size } => Some(ResizeJson::CenterCrop { size }),
            ImageResize::Fit { size, filter, fill } => Some(ResizeJson::Fit { size, filter, fill }),
        };
        Self { scale, mean, std, layout, color, resize }
    }
}

impl From<Labels> for LabelsJson {
    fn from(labels: Labels) -> Self {
        match labels {
            Labels::Names(names) => Self::Names { names },
            Labels::File { path, offset } => Self::File { file: path, offset },
        }
    }
}
