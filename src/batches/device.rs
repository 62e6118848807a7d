//! Dense rows that a GPU writes itself: a tenth of the numbers, and no noise, are sent to it.

use std::sync::{Arc, Mutex, OnceLock};

use burn::tensor::{Device, Tensor};

use super::{Corruption, Noise};
use crate::kernel::cube::rows::{
    Content, DeviceRows, RowsOfCells, Stored, StoredRows, StreamOfRows, room_for,
};
use crate::preprocess::{CellRows, Cells};

/// Where stored counts are from which a GPU writes dense rows.
#[derive(Debug, Clone)]
pub(super) enum Counts {
    /// All of them on the device, sent there when the first row is written.
    Resident(Arc<OnceLock<Arc<Sending>>>),
    /// Those of every batch sent with it.
    Streamed,
}

/// Counts that are sent to a device once.
#[derive(Debug)]
pub(super) struct Sending {
    /// Not a tensor yet: GPU backends order their work by thread.
    unsent: Mutex<Option<StoredRows>>,
    sent: OnceLock<DeviceRows>,
}

impl Sending {
    fn new(rows: StoredRows) -> Arc<Self> {
        Arc::new(Self {
            unsent: Mutex::new(Some(rows)),
            sent: OnceLock::new(),
        })
    }

    fn on(&self, device: &Device) -> &DeviceRows {
        self.sent.get_or_init(|| {
            let mut unsent = self.unsent.lock().expect("nobody panics with the lock");
            let rows = unsent.take().expect("rows are sent once");
            rows.send(device).expect("a device that writes rows")
        })
    }
}

impl Counts {
    /// What suits cells on a device; nothing where the device has no kernel that writes rows.
    pub fn of(cells: &Cells, device: &Device) -> Option<Self> {
        let room = room_for(device, cells.stored(), cells.cells())?;
        let resident = room && cells.reading().is_none();
        tracing::debug!(
            stored = cells.stored(),
            "{}",
            if resident {
                "all counts are kept on the device"
            } else {
                "counts are sent to the device batch by batch"
            }
        );
        Some(if resident {
            Self::Resident(Arc::new(OnceLock::new()))
        } else {
            Self::Streamed
        })
    }

    /// The counts of a batch, read here unless the device has them.
    pub fn of_batch(&self, cells: &CellRows<'_>, rows: &[usize]) -> Arc<DeviceBatch> {
        let (stored, counts) = match self {
            Self::Resident(all) => {
                let all = all.get_or_init(|| {
                    let every: Vec<usize> = (0..cells.cells()).collect();
                    Sending::new(cells.stored_rows(&every))
                });
                (Stored::All, Arc::clone(all))
            }
            Self::Streamed => (Stored::Rows, Sending::new(cells.stored_rows(rows))),
        };
        let cells = rows.iter().map(|&row| row as u32).collect();
        Arc::new(DeviceBatch {
            rows: RowsOfCells { cells, stored },
            counts,
        })
    }
}

/// The cells of a batch, and where their counts are.
#[derive(Debug)]
pub(super) struct DeviceBatch {
    rows: RowsOfCells,
    counts: Arc<Sending>,
}

/// Dense rows of a batch that the device is to write.
#[derive(Debug)]
pub(crate) struct UnwrittenRows {
    batch: Arc<DeviceBatch>,
    content: Content,
}

impl UnwrittenRows {
    /// Raw counts.
    pub fn counts(batch: &Arc<DeviceBatch>) -> Self {
        Self::new(batch, Content::Counts)
    }

    /// Clean network input.
    pub fn input(batch: &Arc<DeviceBatch>) -> Self {
        Self::new(batch, Content::Input)
    }

    /// Corrupted network input.
    pub fn corrupted(batch: &Arc<DeviceBatch>, noise: Noise) -> Self {
        let stream = StreamOfRows {
            seed: noise.seed,
            epoch: noise.epoch,
        };
        let content = match noise.corruption {
            corruption if corruption.is_nothing() => Content::Input,
            Corruption::None => Content::Input,
            Corruption::Gaussian(deviation) => Content::Gaussian {
                deviation: deviation as f32,
                stream,
            },
            Corruption::Dropout(rate) => Content::Dropout { rate, stream },
        };
        Self::new(batch, content)
    }

    fn new(batch: &Arc<DeviceBatch>, content: Content) -> Self {
        Self {
            batch: Arc::clone(batch),
            content,
        }
    }

    /// The tensor `[rows, genes]`, in the graph if the device is one that differentiates.
    pub fn into_tensor(self, device: &Device) -> Tensor<2> {
        self.written(device, DeviceRows::dense)
    }

    /// These rows, corrupted, and after them the same ones clean `[2 · rows, genes]`.
    pub fn into_corrupted_and_clean(self, device: &Device) -> Tensor<2> {
        self.written(device, DeviceRows::corrupted_and_clean)
    }

    fn written(
        self,
        device: &Device,
        write: impl FnOnce(&DeviceRows, &RowsOfCells, Content) -> Tensor<2>,
    ) -> Tensor<2> {
        let batch = &self.batch;
        let tensor = write(batch.counts.on(device), &batch.rows, self.content);
        match device.gradient_checkpointing_strategy() {
            Some(strategy) => tensor
                .autodiff()
                .with_gradient_checkpointing_strategy(strategy),
            None => tensor,
        }
    }
}
