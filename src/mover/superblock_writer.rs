//! The thread that saves the superblock: one after the other, each reported once it is durable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use crate::setup::SetupError;
use mover_core::Input;
use storage::journal::{JournalError, Superblock, SuperblockStore};
use storage::seam::{Disk, DiskError};

/// What is saved.
struct Save {
    number: u64,
    superblock: Box<Superblock>,
    over_damage: bool,
}

/// Saves superblocks.
pub struct SuperblockWriter {
    saves: Sender<Save>,
}

impl SuperblockWriter {
    /// Starts the thread; `store` is none where the superblock can't be used.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(
        store: Option<SuperblockStore>,
        disk: Arc<dyn Disk>,
        inputs: mpsc::Sender<Input>,
    ) -> Result<SuperblockWriter, SetupError> {
        let (saves, queue) = channel();
        std::thread::Builder::new()
            .name("ferry-superblock".into())
            .spawn(move || write_all(store, &disk, &queue, &inputs))
            .map_err(|error| SetupError::Metadata(DiskError::new("start", "a thread", error)))?;
        Ok(SuperblockWriter { saves })
    }

    /// Saves a superblock, over a damaged one if that was consented to.
    pub fn save(&self, number: u64, superblock: Box<Superblock>, over_damage: bool) {
        // The thread ends only with the writer.
        drop(self.saves.send(Save {
            number,
            superblock,
            over_damage,
        }));
    }
}

fn write_all(
    mut store: Option<SuperblockStore>,
    disk: &Arc<dyn Disk>,
    queue: &Receiver<Save>,
    inputs: &mpsc::Sender<Input>,
) {
    while let Ok(save) = queue.recv() {
        let result = write(&mut store, disk, &save)
            .map_err(|error| format!("failed to save the superblock: {error}"));
        if inputs
            .blocking_send(Input::Persisted(save.number, result))
            .is_err()
        {
            return;
        }
    }
}

fn write(
    store: &mut Option<SuperblockStore>,
    disk: &Arc<dyn Disk>,
    save: &Save,
) -> Result<(), JournalError> {
    if save.over_damage {
        *store = Some(SuperblockStore::over_damage(disk.clone())?);
    }
    match store {
        Some(store) => store.save(&save.superblock),
        None => Err(JournalError::OutOfOrder(
            "the superblock here can't be used".into(),
        )),
    }
}
