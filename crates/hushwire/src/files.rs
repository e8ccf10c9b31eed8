//! Files that commands leave behind.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Replaces a file as a whole; it is for its owner alone, as weights are.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, &tempfile::Builder::new())
}

fn replace(path: &Path, bytes: &[u8], builder: &tempfile::Builder<'_, '_>) -> Result<()> {
    let write = || -> Result<()> {
        // Pipes and devices, such as /dev/stdout, are written to and stay what they are.
        if path.exists() && !path.is_file() {
            return Ok(std::fs::write(path, bytes)?);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces a text file as a whole; others may read it as far as the umask lets them. Anything else that
/// is there, such as the network that a plan was to be made for, stays.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    if path.is_file() && !is_text(path)? {
        bail!("{} is there and is no text file; it is not replaced", path.display());
    }
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    replace(path, text.as_bytes(), &builder)
}

/// Whether a file begins like a text.
fn is_text(path: &Path) -> Result<bool> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut start = Vec::new();
        File::open(path)?.take(4096).read_to_end(&mut start)?;
        Ok(start)
    };
    let start = read().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(!start.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()))
}

/// The file whose name is that of `path` with an ending more.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// SHA-256 in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
