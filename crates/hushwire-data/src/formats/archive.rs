use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::image::MAX_ENCODED;

/// Files read by name, from a tar archive or from a folder with the same contents.
pub(crate) enum Archive {
    /// Files lie below this folder.
    Folder(PathBuf),
    /// Place and length of every file in the archive.
    Tar { path: PathBuf, file: File, index: HashMap<String, (u64, u64)> },
}

impl Archive {
    /// Reads the headers of an archive; the contents are read when asked for.
    pub(crate) fn open_tar(path: &Path) -> Result<Self, DataError> {
        let open = || File::open(path).map_err(DataError::io(path));
        let length = open()?.metadata().map_err(DataError::io(path))?.len();
        let mut tar = tar::Archive::new(BufReader::new(open()?));
        let mut index = HashMap::new();
        let mut offset = 0;
        for entry in tar.entries_with_seek().map_err(DataError::io(path))? {
            let entry = entry.map_err(|e| DataError::format(path, offset, e.to_string()))?;
            offset = entry.raw_file_position();
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let size = entry.size();
            if offset.checked_add(size).is_none_or(|end| end > length) {
                let what = format!("{name} has {size} bytes, the archive ends before that");
                return Err(DataError::format(path, offset, what));
            }
            index.insert(name.trim_start_matches("./").to_owned(), (offset, size));
        }
        Ok(Self::Tar { path: path.to_path_buf(), file: open()?, index })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(dir) => dir.join(name).is_file(),
            Self::Tar { index, .. } => index.contains_key(name),
        }
    }

    /// The contents of a file.
    pub(crate) fn read(&mut self, name: &str) -> Result<Vec<u8>, DataError> {
        let too_large = |size| DataError::decode(name, format!("{size} bytes are too many"));
        match self {
            Self::Folder(dir) => {
                let path = dir.join(name);
                let mut bytes = Vec::new();
                let file = File::open(&path).map_err(DataError::io(&path))?;
                file.take(MAX_ENCODED + 1).read_to_end(&mut bytes).map_err(DataError::io(&path))?;
                if bytes.len() as u64 > MAX_ENCODED {
                    return Err(too_large(bytes.len() as u64));
                }
                Ok(bytes)
            }
            Self::Tar { path, file, index } => {
                let &(offset, size) = index.get(name).ok_or_else(|| {
                    DataError::format(path, 0, format!("the archive has no file {name}"))
                })?;
                if size > MAX_ENCODED {
                    return Err(too_large(size));
                }
                // The index holds no more bytes than the archive has.
                let mut bytes = vec![0; size as usize];
                file.seek(SeekFrom::Start(offset)).map_err(DataError::io(path))?;
                file.read_exact(&mut bytes).map_err(DataError::io(path))?;
                Ok(bytes)
            }
        }
    }
}
