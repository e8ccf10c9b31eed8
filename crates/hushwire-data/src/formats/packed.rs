use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::DataError;

/// Most memory the xz decoder may take, in KiB: an archive's dictionary size comes from its header.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// A file, decompressed by its name's ending (`.gz`, `.xz` or neither), that knows where it is.
pub(crate) struct Packed {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    offset: u64,
}

impl Packed {
    /// The first of `dir/name`, `dir/name.gz` and `dir/name.xz` that is a file.
    pub(crate) fn find(dir: &Path, name: &str) -> Option<PathBuf> {
        let candidates = ["", ".gz", ".xz"].map(|ending| dir.join(format!("{name}{ending}")));
        candidates.into_iter().find(|path| path.is_file())
    }

    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file =
            BufReader::with_capacity(1 << 16, File::open(path).map_err(DataError::io(path))?);
        let reader: Box<dyn Read + Send> = match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            Some("xz") => {
                Box::new(BufReader::new(XzReader::new_mem_limit(file, true, XZ_MEMORY_KIB)))
            }
            _ => Box::new(file),
        };
        Ok(Self { path: path.to_path_buf(), reader, offset: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A format error at the next byte.
    pub(crate) fn error(&self, what: impl Into<String>) -> DataError {
        DataError::format(&self.path, self.offset, what)
    }

    /// Fills the buffer, or tells `what` was cut off.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), DataError> {
        let got = self.fill_some(buffer)?;
        if got == buffer.len() {
            return Ok(());
        }
        let wanted = buffer.len();
        Err(self.error(format!("the file ends within {what}: {got} of {wanted} bytes")))
    }

    /// Fills as much of the buffer as the file has left and tells how much that is.
    pub(crate) fn fill_some(&mut self, buffer: &mut [u8]) -> Result<usize, DataError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.reader.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.error(format!("the compressed file is cut short: {e}")));
                }
                Err(e) => return Err(DataError::Io { path: self.path.clone(), source: e }),
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    pub(crate) fn be_u32(&mut self, what: &str) -> Result<u32, DataError> {
        let mut word = [0; 4];
        self.fill(&mut word, what)?;
        Ok(u32::from_be_bytes(word))
    }
}
