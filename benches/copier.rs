//! What copies an image: Ferry, its peers and the floor, all asked the same way.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ferry::units::Extent;

use crate::meter::Sample;

/// One piece of work.
#[derive(Clone, Debug)]
pub struct Work {
    /// The image that the target shall hold.
    pub source: PathBuf,
    /// The image that it holds before; without one it begins with nothing.
    pub before: Option<PathBuf>,
    /// What differs between both; all that is allocated, where there is nothing before.
    pub extents: Vec<Extent>,
}

/// Something that copies.
pub trait Copier {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// Why it can't run here, if it can't.
    fn unable(&self) -> Option<String>;

    /// Makes its target hold what the work begins with. Not measured.
    fn prepare(&mut self, work: &Work) -> Result<()>;

    /// Does the work, measured.
    fn copy(&mut self, work: &Work) -> Result<Sample>;

    /// Where its target is.
    fn target(&self) -> PathBuf;

    /// Gives its space back.
    fn clear(&mut self) -> Result<()>;
}

/// A file that a copier writes to, and which image it holds.
#[derive(Debug)]
pub struct Target {
    /// The file.
    pub file: PathBuf,
    holds: Option<PathBuf>,
}

impl Target {
    /// The target in a directory of its own, which is made.
    pub fn new(directory: &Path) -> Result<Target> {
        std::fs::create_dir_all(directory)?;
        Ok(Target {
            file: directory.join("target.img"),
            holds: None,
        })
    }

    /// Makes it hold `image`, or be absent.
    pub fn hold(&mut self, image: Option<&Path>) -> Result<()> {
        match image {
            None => self.remove(),
            Some(image) if self.holds.as_deref() == Some(image) => Ok(()),
            Some(image) => {
                self.remove()?;
                crate::commands::copy_sparse(image, &self.file)?;
                self.holds = Some(image.into());
                Ok(())
            }
        }
    }

    /// Notes that it is being made the same as `image`.
    pub fn becomes(&mut self, image: &Path) {
        self.holds = Some(image.into());
    }

    /// Removes it.
    pub fn remove(&mut self) -> Result<()> {
        self.holds = None;
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
