use crate::{DataError, Mask};

/// For each position the class with the greatest logit, the lowest on ties. `logits` is
/// classes x positions; a classification has one position.
///
/// # Panics
/// When `classes` is zero or does not divide the number of logits.
pub fn argmax(logits: &[f32], classes: usize) -> Vec<usize> {
    assert!(classes > 0 && logits.len().is_multiple_of(classes), "logits are classes x positions");
    let positions = logits.len() / classes;
    let mut best = vec![0; positions];
    for class in 1..classes {
        for (p, best) in best.iter_mut().enumerate() {
            if logits[class * positions + p] > logits[*best * positions + p] {
                *best = class;
            }
        }
    }
    best
}

/// Top-1 accuracy of a classification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    offset: u32,
    right: u64,
    count: u64,
}

impl Accuracy {
    /// Counts nothing yet. `offset` is the number of background classes that precede class 0 of
    /// the data set in the network's output.
    pub fn new(offset: u32) -> Self {
        Self { offset, ..Self::default() }
    }

    /// Counts an image of class `truth` and tells whether it was classified right.
    pub fn add(&mut self, logits: &[f32], truth: u32) -> bool {
        let found = if logits.is_empty() { None } else { Some(argmax(logits, logits.len())[0]) };
        let right = found == Some((truth + self.offset) as usize);
        self.count += 1;
        self.right += u64::from(right);
        right
    }

    /// Images classified right.
    pub fn right(&self) -> u64 {
        self.right
    }

    /// Images counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Share of images classified right, 0 to 1; NaN without images.
    pub fn value(&self) -> f64 {
        self.right as f64 / self.count as f64
    }
}

/// Mean intersection over union of a segmentation: over all images together, averaged over the
/// classes that occur in the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanIou {
    classes: usize,
    /// Pixels by true class (rows) and found class (columns).
    confusion: Vec<u64>,
}

impl MeanIou {
    /// Counts nothing yet; true values of `classes` or more are pixels that do not count.
    pub fn new(classes: usize) -> Self {
        Self { classes, confusion: vec![0; classes * classes] }
    }

    /// Counts the pixels of an image.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the masks have different sizes, or a found class is not below
    /// the number of classes where the truth counts. Nothing is counted then.
    pub fn add(&mut self, found: &Mask, truth: &Mask) -> Result<(), DataError> {
        let size = |mask: &Mask| [mask.height(), mask.width()];
        if size(found) != size(truth) {
            let [expected, got] = [truth, found].map(|mask| format!("{:?}", size(mask)));
            return Err(DataError::mismatch("size of a mask", expected, got));
        }
        let pairs = truth.classes().iter().zip(found.classes());
        let known = pairs
            .map(|(&t, &f)| (usize::from(t), usize::from(f)))
            .filter(|&(t, _)| t < self.classes);
        if let Some((_, class)) = known.clone().find(|&(_, f)| f >= self.classes) {
            let expected = format!("below {}", self.classes);
            return Err(DataError::mismatch("class of a pixel", expected, class));
        }
        known.for_each(|(t, f)| self.confusion[t * self.classes + f] += 1);
        Ok(())
    }

    /// Intersection over union of each class, 0 to 1; `None` for classes not in the truth.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let n = self.classes;
        let iou = |class: usize| {
            let truth: u64 = self.confusion[class * n..(class + 1) * n].iter().sum();
            let found: u64 = self.confusion[class..].iter().step_by(n).sum();
            let hits = self.confusion[class * n + class];
            (truth > 0).then(|| hits as f64 / (truth + found - hits) as f64)
        };
        (0..n).map(iou).collect()
    }

    /// The mean over the classes in the truth, 0 to 1; NaN without pixels.
    pub fn value(&self) -> f64 {
        let present: Vec<f64> = self.per_class().into_iter().flatten().collect();
        present.iter().sum::<f64>() / present.len() as f64
    }

    /// Share of the pixels that count whose class was found, 0 to 1; NaN without pixels.
    pub fn pixel_accuracy(&self) -> f64 {
        let hits: u64 = self.confusion.iter().step_by(self.classes + 1).sum();
        hits as f64 / self.confusion.iter().sum::<u64>() as f64
    }
}

/// How often two executions of a network give the same class, and how far their logits differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    same: u64,
    count: u64,
    max_difference: f32,
}

impl Agreement {
    /// Compares the logits of one image, classes x positions: each position counts once.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the numbers of logits differ or are no multiple of `classes`.
    pub fn add(&mut self, a: &[f32], b: &[f32], classes: usize) -> Result<(), DataError> {
        if a.len() != b.len() {
            return Err(DataError::mismatch("number of logits", a.len(), b.len()));
        }
        if classes == 0 || !a.len().is_multiple_of(classes) {
            let expected = format!("a multiple of {classes}");
            return Err(DataError::mismatch("number of logits", expected, a.len()));
        }
        let (found_a, found_b) = (argmax(a, classes), argmax(b, classes));
        self.count += found_a.len() as u64;
        self.same += found_a.iter().zip(&found_b).filter(|(a, b)| a == b).count() as u64;
        for difference in a.iter().zip(b).map(|(a, b)| (a - b).abs()) {
            // NaN is the worst of all and stays.
            if difference.is_nan() || difference > self.max_difference {
                self.max_difference = difference;
            }
        }
        Ok(())
    }

    /// Positions where both executions found the same class.
    pub fn same(&self) -> u64 {
        self.same
    }

    /// Positions compared.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Share of positions with the same class, 0 to 1; NaN without positions.
    pub fn value(&self) -> f64 {
        self.same as f64 / self.count as f64
    }

    /// Largest absolute difference of two logits; NaN when one was NaN.
    pub fn max_difference(&self) -> f32 {
        self.max_difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_knows_background_classes() {
        let mut accuracy = Accuracy::new(1);
        assert!(accuracy.add(&[0.0, 1.0, 3.0], 1));
        assert!(!accuracy.add(&[0.0, 1.0, 3.0], 0));
        assert!(!accuracy.add(&[5.0, 1.0, 3.0], 0));
        // The first of equals, as numpy's argmax.
        assert!(accuracy.add(&[0.0, 2.0, 2.0], 0));
        assert_eq!((accuracy.right(), accuracy.count(), accuracy.value()), (2, 4, 0.5));
    }

    #[test]
    fn mean_iou_over_the_classes_in_the_truth() {
        let truth = Mask::new(2, 3, vec![0, 0, 1, 1, 255, 0]).unwrap();
        let found = Mask::new(2, 3, vec![0, 2, 1, 0, 200, 0]).unwrap();
        let mut iou = MeanIou::new(3);
        iou.add(&found, &truth).unwrap();
        // Class 0: 2 of {3 true, 3 found}; class 1: 1 of {2 true, 1 found}; class 2 only found.
        assert_eq!(iou.per_class(), [Some(2.0 / 4.0), Some(1.0 / 2.0), None]);
        assert_eq!(iou.value(), 0.5);
        assert_eq!(iou.pixel_accuracy(), 3.0 / 5.0);
        let before = iou.clone();
        assert!(iou.add(&Mask::new(3, 2, vec![0; 6]).unwrap(), &truth).is_err());
        assert!(iou.add(&Mask::new(2, 3, vec![3; 6]).unwrap(), &truth).is_err());
        assert_eq!(iou, before);
    }

    #[test]
    fn agreement_counts_positions() {
        let mut agreement = Agreement::default();
        // Two classes at three positions.
        let a = [1.0, 0.0, 0.5, 0.0, 1.0, 0.25];
        let b = [1.0, 0.0, 0.5, 0.0, -1.0, 0.5];
        agreement.add(&a, &b, 2).unwrap();
        assert_eq!((agreement.same(), agreement.count()), (2, 3));
        assert_eq!(agreement.max_difference(), 2.0);
        assert!(agreement.add(&a, &b[..5], 2).is_err());
        assert!(agreement.add(&a, &b, 4).is_err());
        agreement.add(&[f32::NAN], &[0.0], 1).unwrap();
        assert!(agreement.max_difference().is_nan());
    }
}
