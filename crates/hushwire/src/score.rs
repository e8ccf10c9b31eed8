//! Scores of a whole evaluation, for networks of either task.

use anyhow::{Result, bail};
use hushwire_data::{Accuracy, Label, MeanIou, Preprocess, Sample};
use hushwire_graph::Graph;

use crate::classes;

/// Counts how well a network does.
pub enum Score {
    /// Top-1 accuracy.
    Accuracy(Accuracy),
    /// Mean intersection over union.
    MeanIou(MeanIou, Preprocess),
}

impl Score {
    /// The score that goes with the network's task.
    pub fn new(graph: &Graph, preprocess: &Preprocess) -> Score {
        if classes::segments(graph) {
            Score::MeanIou(MeanIou::new(classes::count(graph)), preprocess.clone())
        } else {
            Score::Accuracy(Accuracy::new(classes::offset(graph)))
        }
    }

    /// Counts the logits of a sample.
    pub fn add(&mut self, logits: &[f32], classes: usize, sample: &Sample) -> Result<()> {
        match (self, &sample.label) {
            (Score::Accuracy(accuracy), Label::Class(truth)) => {
                accuracy.add(logits, *truth);
            }
            (Score::MeanIou(iou, preprocess), Label::Mask(truth)) => {
                let size = [sample.image.height(), sample.image.width()];
                iou.add(&preprocess.segment(logits, classes, size)?, truth)?;
            }
            (Score::Accuracy(_), Label::Mask(_)) => {
                bail!("the network classifies whole images, the data set has masks");
            }
            (Score::MeanIou(..), Label::Class(_)) => {
                bail!("the network gives every pixel a class, the data set has one per image");
            }
        }
        Ok(())
    }

    /// The value so far, 0 to 1.
    pub fn value(&self) -> f64 {
        match self {
            Score::Accuracy(accuracy) => accuracy.value(),
            Score::MeanIou(iou, _) => iou.value(),
        }
    }

    /// What the value is called.
    pub fn name(&self) -> &'static str {
        match self {
            Score::Accuracy(_) => "accuracy",
            Score::MeanIou(..) => "mean IoU",
        }
    }
}
