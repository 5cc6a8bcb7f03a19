//! The images that are copied: one base, and variants of it that differ in a known way.
//!
//! Half of the base is random, a quarter compresses about twofold, a quarter is holes, in stripes;
//! the first eighth is random throughout, so that a large change has a place.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ferry::units::{Extent, ExtentSet};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use rustix::fs::{FallocateFlags, fallocate};

use crate::{commands, compare};

/// Stripes of an image, whatever its size: those of 4 GiB are 64 MiB long.
const STRIPES: u64 = 64;

/// The first stripes, which are all random.
const RANDOM_FIRST: u64 = STRIPES / 8;

/// What changes are counted in.
pub const BLOCK: u64 = 4096;

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// Ranges of data in a sparse image, each of a piece.
const SPARSE_EXTENTS: u64 = 256;

/// Blocks that a sparse image's variant has written.
const SPARSE_BLOCKS: u64 = 16 * 1024;

/// An image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the others are made from.
    Base,
    /// One block in a hundred rewritten, at random places.
    Random,
    /// The first eighth rewritten.
    Large,
    /// What compresses overwritten with zeros, and half of what is random discarded.
    Zeros,
    /// Another volume, of so many GiB with next to nothing in them.
    Sparse(u64),
    /// That one with blocks written all over it.
    SparseChanged(u64),
}

impl Kind {
    /// What it was made from.
    pub fn origin(self) -> Kind {
        match self {
            Kind::SparseChanged(gib) | Kind::Sparse(gib) => Kind::Sparse(gib),
            _ => Kind::Base,
        }
    }
}

/// What a stripe holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stripe {
    Random,
    Compressible,
    Hole,
}

/// The images of one size.
pub struct Images {
    directory: PathBuf,
    size: u64,
}

impl Images {
    /// Images of `size` bytes in `directory`, which is made.
    pub fn new(directory: &Path, size: u64) -> Result<Images> {
        ensure!(
            size.is_multiple_of(STRIPES * PIECE as u64),
            "an image has to be a multiple of {} MiB",
            STRIPES
        );
        let directory = directory.join(format!("{}M", size >> 20));
        std::fs::create_dir_all(&directory)?;
        Ok(Images { directory, size })
    }

    /// The file of an image, which is made where it is not there yet.
    pub fn file(&self, kind: Kind) -> Result<PathBuf> {
        let name = format!("{kind:?}.img").to_lowercase();
        let path = self.directory.join(name.replace(['(', ')'], "-"));
        if path.exists() {
            return Ok(path);
        }
        eprintln!("making {}", path.display());
        let new = path.with_extension("new");
        match kind {
            Kind::Base => self.make_base(&new)?,
            Kind::Sparse(gib) => make_sparse(&new, gib)?,
            Kind::SparseChanged(gib) => {
                commands::copy_sparse(&self.file(Kind::Sparse(gib))?, &new)?;
                self.change(kind, &new)?;
            }
            Kind::Random | Kind::Large | Kind::Zeros => {
                commands::copy_sparse(&self.file(Kind::Base)?, &new)?;
                self.change(kind, &new)?;
            }
        }
        std::fs::rename(&new, &path)?;
        Ok(path)
    }

    /// Everything that is allocated in an image, as a driver that knows would list it.
    pub fn allocated(&self, kind: Kind) -> Result<Vec<Extent>> {
        compare::allocated(&File::open(self.file(kind)?)?)
    }

    fn with_data(&self) -> Vec<Extent> {
        let stripes = (0..STRIPES).filter(|stripe| stripe_kind(*stripe) != Stripe::Hole);
        let set = ExtentSet::union(stripes.map(|stripe| self.stripe(stripe)));
        set.as_slice().to_vec()
    }

    /// What differs between `kind` and what it was made from.
    pub fn changed(&self, kind: Kind) -> Vec<Extent> {
        let set = match kind {
            Kind::Base | Kind::Sparse(_) => ExtentSet::default(),
            Kind::SparseChanged(gib) => spread(gib, SPARSE_BLOCKS, BLOCK),
            Kind::Random => self.scattered(),
            Kind::Large => ExtentSet::union((0..RANDOM_FIRST).map(|stripe| self.stripe(stripe))),
            Kind::Zeros => ExtentSet::union(self.zeroed().into_iter().chain(self.discarded())),
        };
        set.as_slice().to_vec()
    }

    fn stripe(&self, number: u64) -> Extent {
        let len = self.size / STRIPES;
        Extent::new(number * len, len)
    }

    fn stripes_of(&self, kind: Stripe) -> Vec<Extent> {
        let stripes = (RANDOM_FIRST..STRIPES).filter(|stripe| stripe_kind(*stripe) == kind);
        stripes.map(|stripe| self.stripe(stripe)).collect()
    }

    fn zeroed(&self) -> Vec<Extent> {
        self.stripes_of(Stripe::Compressible)
    }

    fn discarded(&self) -> Vec<Extent> {
        let random = self.stripes_of(Stripe::Random);
        random.into_iter().step_by(2).collect()
    }

    /// One block in a hundred of all, each where there is data.
    fn scattered(&self) -> ExtentSet {
        let allocated = self.with_data();
        let blocks: u64 = allocated.iter().map(|extent| extent.len / BLOCK).sum();
        let wanted = self.size / BLOCK / 100;
        let chosen = rand::seq::index::sample(
            &mut StdRng::seed_from_u64(1),
            usize::try_from(blocks).unwrap_or(usize::MAX),
            usize::try_from(wanted).unwrap_or_default(),
        );
        ExtentSet::union(chosen.into_iter().map(|block| {
            let mut left = block as u64;
            let mut at = 0;
            for extent in &allocated {
                at = extent.offset + left * BLOCK;
                if left < extent.len / BLOCK {
                    break;
                }
                left -= extent.len / BLOCK;
            }
            Extent::new(at, BLOCK)
        }))
    }

    fn make_base(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("failed to make {path:?}"))?;
        file.set_len(self.size)?;
        let mut random = StdRng::seed_from_u64(0);
        for stripe in 0..STRIPES {
            let kind = stripe_kind(stripe);
            if kind != Stripe::Hole {
                fill(&file, self.stripe(stripe), &mut random, kind)?;
            }
        }
        Ok(file.sync_all()?)
    }

    fn change(&self, kind: Kind, path: &Path) -> Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let mut random = StdRng::seed_from_u64(2);
        match kind {
            Kind::Base | Kind::Sparse(_) => {}
            Kind::Random | Kind::Large | Kind::SparseChanged(_) => {
                for extent in self.changed(kind) {
                    fill(&file, extent, &mut random, Stripe::Random)?;
                }
            }
            Kind::Zeros => {
                for extent in self.zeroed() {
                    write_zeros(&file, extent)?;
                }
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                for extent in self.discarded() {
                    fallocate(&file, flags, extent.offset, extent.len)?;
                }
            }
        }
        Ok(file.sync_all()?)
    }
}

/// `count` ranges of `len` bytes each, spread evenly over `gib` GiB.
fn spread(gib: u64, count: u64, len: u64) -> ExtentSet {
    let step = (gib << 30) / count / BLOCK * BLOCK;
    ExtentSet::union((0..count).map(|number| Extent::new(number * step, len)))
}

fn make_sparse(path: &Path, gib: u64) -> Result<()> {
    let file = File::create(path)?;
    file.set_len(gib << 30)?;
    let mut random = StdRng::seed_from_u64(gib);
    for extent in spread(gib, SPARSE_EXTENTS, PIECE as u64).as_slice() {
        fill(&file, *extent, &mut random, Stripe::Random)?;
    }
    Ok(file.sync_all()?)
}

fn stripe_kind(number: u64) -> Stripe {
    if number < RANDOM_FIRST {
        return Stripe::Random;
    }
    match (number - RANDOM_FIRST) % 7 {
        0..3 => Stripe::Random,
        3 | 4 => Stripe::Compressible,
        _ => Stripe::Hole,
    }
}

fn fill(file: &File, extent: Extent, random: &mut StdRng, kind: Stripe) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = extent.offset;
    while at < extent.end() {
        let len = (extent.end() - at).min(PIECE as u64);
        let part = &mut piece[..usize::try_from(len)?];
        random.fill_bytes(part);
        if kind == Stripe::Compressible {
            // Every other 64 bytes are the same everywhere.
            for same in part.chunks_mut(128) {
                let half = same.len() / 2;
                same[half..].fill(b'f');
            }
        }
        file.write_all_at(part, at)?;
        at += len;
    }
    Ok(())
}

fn write_zeros(file: &File, extent: Extent) -> Result<()> {
    let piece = vec![0; PIECE];
    let mut at = extent.offset;
    while at < extent.end() {
        let len = (extent.end() - at).min(PIECE as u64);
        file.write_all_at(&piece[..usize::try_from(len)?], at)?;
        at += len;
    }
    Ok(())
}
