//! Which CSI drivers serve file shares: their volumes are no block images, so nothing of Ferry's
//! works on them (D-16). The list is of the drivers that are known; one that is not known is found
//! out by its first cut.

/// Drivers by their name, or by the end of it where an installation puts a prefix before it.
const FILE_SHARES: [&str; 11] = [
    "nfs.csi.k8s.io",
    "smb.csi.k8s.io",
    "nfs.csi.ceph.com",
    "cephfs.csi.ceph.com",
    "efs.csi.aws.com",
    "fsx.csi.aws.com",
    "file.csi.azure.com",
    "filestore.csi.storage.gke.io",
    "lustre.csi.storage.gke.io",
    "csi.juicefs.com",
    "gluster.org",
];

/// Whether volumes of `driver` are file shares.
#[must_use]
pub fn is_file_share(driver: &str) -> bool {
    FILE_SHARES.iter().any(|share| {
        driver
            .strip_suffix(share)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_allowed_and_a_likeness_is_none() {
        assert!(is_file_share("cephfs.csi.ceph.com"));
        assert!(is_file_share("rook-ceph.cephfs.csi.ceph.com"));
        for block in ["rbd.csi.ceph.com", "ebs.csi.aws.com", "xnfs.csi.k8s.io"] {
            assert!(!is_file_share(block), "{block}");
        }
    }
}
