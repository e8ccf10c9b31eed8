//! Checkpoints: all that a run needs to go on, in one safetensors file.
//!
//! A file is written beside its final place, flushed to the disk and renamed, so that the one that
//! is there is whole whenever the machine stops.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use bytemuck::{cast_slice, pod_collect_to_vec};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use crate::TrainError;

/// The key under which a file says what run it belongs to.
const RUN: &str = "run";

/// A run's state under names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    /// What run it is, as JSON; two runs with the same text take the same steps.
    pub run: String,
    /// Parameters, velocities and running moments.
    pub values: BTreeMap<String, Vec<f32>>,
    /// Counts, sums and the history.
    pub numbers: BTreeMap<String, Vec<f64>>,
}

impl State {
    /// Writes the state to a file, which is replaced as a whole.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let bytes = self.to_bytes()?;
        let write = || {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            // The new name must last too.
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| TrainError::Io { path: path.to_owned(), source })
    }

    /// Reads a file that [`save`](Self::save) wrote.
    pub(crate) fn load(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path)
            .map_err(|source| TrainError::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
            .map_err(|reason| TrainError::Checkpoint { path: path.to_owned(), reason })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let values = self.values.iter().map(|(name, v)| (name, Dtype::F32, v.len(), cast_slice(v)));
        let numbers = self.numbers.iter();
        let numbers = numbers.map(|(name, v)| (name, Dtype::F64, v.len(), cast_slice(v)));
        let views = values.chain(numbers).map(|(name, dtype, len, bytes): (_, _, _, &[u8])| {
            TensorView::new(dtype, vec![len], bytes).map(|view| (name.as_str(), view))
        });
        let views: Result<Vec<_>, _> = views.collect();
        let metadata = HashMap::from([(RUN.to_owned(), self.run.clone())]);
        let bytes = views.and_then(|views| serialize(views, Some(metadata)));
        bytes.map_err(|e| TrainError::Serialise { reason: e.to_string() })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let run = header.metadata().as_ref().and_then(|metadata| metadata.get(RUN));
        let run = run.ok_or("it does not say what run it belongs to")?.clone();
        let mut state = Self { run, ..Self::default() };
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        for (name, view) in tensors.iter() {
            // Bytes in a file are aligned to nothing.
            match view.dtype() {
                Dtype::F32 => {
                    state.values.insert(name.to_owned(), pod_collect_to_vec(view.data()));
                }
                Dtype::F64 => {
                    state.numbers.insert(name.to_owned(), pod_collect_to_vec(view.data()));
                }
                other => return Err(format!("'{name}' has elements of type {other:?}")),
            }
        }
        Ok(state)
    }

    /// Takes out a tensor of `len` elements.
    pub(crate) fn take(&mut self, name: &str, len: usize) -> Result<Vec<f32>, String> {
        match self.values.remove(name) {
            Some(values) if values.len() == len => Ok(values),
            Some(values) => Err(format!("'{name}' has {} elements, not {len}", values.len())),
            None => Err(format!("'{name}' is missing")),
        }
    }

    /// The numbers of this name.
    pub(crate) fn numbers(&self, name: &str) -> Result<&[f64], String> {
        self.numbers.get(name).map(Vec::as_slice).ok_or(format!("'{name}' is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            run: "{\"seed\":1}".to_owned(),
            values: BTreeMap::from([("a".to_owned(), vec![1.5, -2.0]), ("b".to_owned(), vec![])]),
            numbers: BTreeMap::from([("step".to_owned(), vec![7.0, f64::MIN_POSITIVE])]),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        state().save(&path).unwrap();
        assert_eq!(State::load(&path).unwrap(), state());
        State::default().save(&path).unwrap();
        assert_eq!(State::load(&path).unwrap(), State::default());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = state().to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert!(State::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut loaded = State::from_bytes(&bytes).unwrap();
        assert_eq!(loaded.take("b", 3).unwrap_err(), "'b' has 0 elements, not 3");
        assert_eq!(loaded.take("c", 3).unwrap_err(), "'c' is missing");
        assert!(loaded.take("a", 2).is_ok() && loaded.numbers("step").is_ok());
    }
}
