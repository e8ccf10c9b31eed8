use std::fs::File;
use std::io::Read;

use hushwire_graph::Labels;

use crate::{DataError, Source};

/// Longest file of class names that is read; ImageNet's has 32 KB.
const MAX_FILE: u64 = 1 << 24;

impl Source {
    /// The names of a network's classes in the order of its logits. Names in a file are looked
    /// for below the data folder, of which this source's folder may be the child; background
    /// classes are called "background" and WordNet ids at the start of a line are dropped.
    ///
    /// # Errors
    /// [`DataError::Missing`] when the file is not there, [`DataError::Io`] when it cannot be read.
    pub fn class_names(&self, labels: &Labels) -> Result<Vec<String>, DataError> {
        let (file, offset) = match labels {
            Labels::Names(names) => return Ok(names.clone()),
            Labels::File { path, offset } => (path, *offset),
        };
        let dir = self.dir();
        let candidates = [dir.join("..").join(file), dir.join(file), dir.join("data").join(file)];
        let path = candidates.into_iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| DataError::Missing {
            what: file.clone(),
            dir: dir.to_path_buf(),
            dataset: self.dataset(),
        })?;
        let mut bytes = Vec::new();
        let opened = File::open(&path).map_err(DataError::io(&path))?;
        opened.take(MAX_FILE).read_to_end(&mut bytes).map_err(DataError::io(&path))?;
        let text = String::from_utf8_lossy(&bytes);
        // The offset comes from the model's file: more background than names makes no sense.
        let background = vec!["background".to_owned(); offset.min(text.lines().count())];
        Ok(background.into_iter().chain(text.lines().map(class_name)).collect())
    }
}

/// "n01440764 tench, Tinca tinca" is called "tench, Tinca tinca".
fn class_name(line: &str) -> String {
    let is_id = |word: &str| {
        word.len() == 9 && word.starts_with('n') && word[1..].bytes().all(|b| b.is_ascii_digit())
    };
    match line.trim().split_once(' ') {
        Some((id, name)) if is_id(id) => name.to_owned(),
        _ => line.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn names_from_a_file_beside_the_data_set() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("imagenet");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("words.txt"), "n01440764 tench, fish\nnot an id\n").unwrap();
        let labels = Labels::File { path: "imagenet/words.txt".into(), offset: 1 };
        for dir in [&dir, data.path()] {
            let names = Source::new(Dataset::Imagenet, dir).class_names(&labels).unwrap();
            assert_eq!(names, ["background", "tench, fish", "not an id"]);
        }
        let missing = Labels::File { path: "imagenet/none.txt".into(), offset: 0 };
        assert!(Source::new(Dataset::Imagenet, dir).class_names(&missing).is_err());
    }
}
