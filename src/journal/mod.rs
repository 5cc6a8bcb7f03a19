//! What a mover keeps on its metadata volume: superblock, staging, digests. Depends on `seam` and `units`.
