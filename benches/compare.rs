//! Whether two files hold the same. Where both have a hole nothing is read, so that a volume of
//! terabytes with little in it is compared in no time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ferry::units::{Extent, ExtentSet};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Bytes that are compared at once.
const PIECE: u64 = 1 << 20;

/// Fails unless both files hold the same.
pub fn compare(ours: &Path, theirs: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("no {}", path.display()));
    let (left, right) = (open(ours)?, open(theirs)?);
    ensure!(
        left.metadata()?.len() == right.metadata()?.len(),
        "{} and {} differ in size",
        ours.display(),
        theirs.display()
    );
    let data = ExtentSet::union(allocated(&left)?.into_iter().chain(allocated(&right)?));
    let (mut a, mut b) = (vec![0; PIECE as usize], vec![0; PIECE as usize]);
    for extent in data.as_slice() {
        let mut at = extent.offset;
        while at < extent.end() {
            let len = usize::try_from((extent.end() - at).min(PIECE))?;
            left.read_exact_at(&mut a[..len], at)?;
            right.read_exact_at(&mut b[..len], at)?;
            ensure!(
                a[..len] == b[..len],
                "{} and {} differ near byte {at}",
                ours.display(),
                theirs.display()
            );
            at += len as u64;
        }
    }
    Ok(())
}

/// The ranges of a file that are not holes.
pub fn allocated(file: &File) -> Result<Vec<Extent>> {
    let size = file.metadata()?.len();
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let from = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            from => from?,
        };
        at = seek(file, SeekFrom::Hole(from))?;
        found.push(Extent::new(from, at - from));
    }
    Ok(found)
}
