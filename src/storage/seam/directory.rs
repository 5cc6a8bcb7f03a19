//! A directory of the operating system as a [`Disk`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::seam::{BlockFile, Disk, DiskError, OsFile, SMALL_FILE_BYTES_MAX};

/// A file that is being written before it gets its name ends in this; leftovers of a crash are
/// overwritten by the next try.
const PARTIAL_SUFFIX: &str = ".partial";

/// A directory on a mounted file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    read_only: bool,
}

impl Directory {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// When it does not exist or is no directory.
    pub fn open(path: &Path) -> Result<Directory, DiskError> {
        let fail = |e| DiskError::new("open the directory", path.display().to_string(), e);
        if !std::fs::metadata(path).map_err(fail)?.is_dir() {
            return Err(fail(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        Ok(Directory {
            path: path.into(),
            read_only: false,
        })
    }

    /// The directory at `path`, whose files are opened for reading only; it may be on a volume that
    /// is mounted so.
    ///
    /// # Errors
    /// When it does not exist or is no directory.
    pub fn read_only(path: &Path) -> Result<Directory, DiskError> {
        Ok(Directory {
            read_only: true,
            ..Directory::open(path)?
        })
    }

    fn named(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn sync_names(&self) -> Result<(), DiskError> {
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| DiskError::new("flush the directory", self.path.display().to_string(), e))
    }

    fn error(&self, operation: &'static str, name: &str) -> impl Fn(io::Error) -> DiskError {
        let what = self.named(name).display().to_string();
        move |e| DiskError::new(operation, what.clone(), e)
    }
}

impl Disk for Directory {
    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockFile>>, DiskError> {
        match OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .open(self.named(name))
        {
            Ok(file) => Ok(Some(Arc::new(OsFile::from_file(
                self.named(name).display().to_string(),
                file,
            )?))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error("open", name)(e)),
        }
    }

    fn create(&self, name: &str) -> Result<Arc<dyn BlockFile>, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.named(name))
            .map_err(self.error("create", name))?;
        self.sync_names()?;
        let shown = self.named(name).display().to_string();
        Ok(Arc::new(OsFile::from_file(shown, file)?))
    }

    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let file = match File::open(self.named(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.error("open", name)(e)),
        };
        let mut content = Vec::new();
        file.take(SMALL_FILE_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(self.error("read", name))?;
        if content.len() as u64 > SMALL_FILE_BYTES_MAX {
            let e = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(self.error("read", name)(e));
        }
        Ok(Some(content))
    }

    fn replace_small(&self, name: &str, content: &[u8]) -> Result<(), DiskError> {
        let partial = format!("{name}{PARTIAL_SUFFIX}");
        // A new descriptor each time: one whose flush failed is never used again.
        File::create(self.named(&partial))
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            })
            .map_err(self.error("write", &partial))?;
        self.rename(&partial, name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        std::fs::rename(self.named(from), self.named(to)).map_err(self.error("rename", from))?;
        self.sync_names()
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        match std::fs::remove_file(self.named(name)) {
            Ok(()) => self.sync_names(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(self.error("remove", name)(e)),
        }
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        let fail = |e| DiskError::new("list", self.path.display().to_string(), e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_type().map_err(fail)?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(&self.path).map_err(|e| {
            DiskError::new(
                "measure",
                self.path.display().to_string(),
                io::Error::from(e),
            )
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::DiskErrorKind;

    #[test]
    fn small_files_are_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Directory::open(dir.path()).unwrap();
        assert_eq!(disk.read_small("a").unwrap(), None);
        disk.replace_small("a", b"one").unwrap();
        disk.replace_small("a", b"two, and longer").unwrap();
        assert_eq!(disk.read_small("a").unwrap().unwrap(), b"two, and longer");
        assert_eq!(disk.names().unwrap(), ["a"]);
        disk.remove("a").unwrap();
        disk.remove("a").unwrap();
        assert!(disk.names().unwrap().is_empty());
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn what_is_missing_or_too_large_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Directory::open(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), DiskErrorKind::NotFound);
        let disk = Directory::open(dir.path()).unwrap();
        assert!(disk.open("none").unwrap().is_none());
        let big = disk.create("big").unwrap();
        big.set_size(SMALL_FILE_BYTES_MAX + 1).unwrap();
        assert!(disk.read_small("big").is_err());
    }
}
