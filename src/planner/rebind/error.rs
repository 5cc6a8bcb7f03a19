//! Why a re-binding can't go on.

/// Why a re-binding can't go on without a person.
#[derive(Debug, thiserror::Error)]
pub enum RebindError {
    /// No PersistentVolume stands for the volume.
    #[error(
        "no PersistentVolume has driver {driver} and handle {handle} any more, though the storage may \
         be whole; create one for it with reclaim policy Retain, then Ferry goes on"
    )]
    VolumeMissing {
        /// The driver.
        driver: String,
        /// The handle.
        handle: String,
    },
    /// The application's claim is bound to a volume that is neither site's.
    #[error(
        "claim {claim} is bound to PersistentVolume {volume}, which is neither site's volume; move \
         what has to be kept from it and delete the claim, then Ferry goes on"
    )]
    ForeignVolume {
        /// The claim.
        claim: String,
        /// The PersistentVolume.
        volume: String,
    },
    /// A volume's object is bound to, or reserved for, a claim that is not the pair's.
    #[error(
        "PersistentVolume {volume} is bound to or reserved for claim {claim}, which is not the pair's; \
         delete that claim, or the volume's claimRef, then Ferry goes on"
    )]
    VolumeTaken {
        /// The PersistentVolume.
        volume: String,
        /// The claim.
        claim: String,
    },
    /// An object with a name that Ferry needs belongs to somebody else.
    #[error("{object} exists but is not this pair's; rename or delete it, then Ferry goes on")]
    NameTaken {
        /// Kind and name.
        object: String,
    },
    /// What was kept of the application's claim can't be read.
    #[error(
        "failed to read ConfigMap {name}: {reason}; it holds the application's claim: repair it"
    )]
    RecordUnreadable {
        /// The ConfigMap.
        name: String,
        /// What is wrong.
        reason: String,
    },
}
