//! What happens to a network before a phase trains it.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};

use crate::batches::Batches;
use crate::error::{Error, ParameterError, Result};
use crate::nn::Encoder;
use crate::preprocess::{Cells, PrincipalComponents};

/// A module's weights on `device` with automatic differentiation, wherever they were; all of them
/// trainable, also those that an earlier plan had frozen.
pub(in crate::train) fn for_training<M: Module>(module: M, device: &Device) -> M {
    struct Thaw;
    impl ModuleMapper for Thaw {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.set_require_grad(true)
        }
    }
    let tracked = module.devices().iter().any(Device::is_autodiff);
    let module = if tracked { module.valid() } else { module };
    let module = module.to_device(&device.clone().inner()).train();
    module.map(&mut Thaw)
}

/// Lets the system's allocator keep the memory of one training step for the next.
///
/// glibc gives blocks above a threshold back to the system as soon as they are freed, so every
/// step would fault its tensors in anew (a seventh of the time of a scDCC fit). The threshold follows
/// the largest such block freed so far, up to 32 MiB: one block of nearly that size, never
/// touched, raises it. Other allocators do not notice.
pub(in crate::train) fn keep_freed_memory() {
    const BLOCK: usize = (32 << 20) - (64 << 10);
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}

/// Starts an encoder's linear skip at the principal components of the input.
pub(in crate::train) fn start_at_components(
    encoder: Encoder,
    cells: &Cells,
    seed: u64,
) -> Result<Encoder> {
    let latent = encoder.latent();
    let count = latent.min(cells.genes().min(cells.cells()).saturating_sub(1));
    if count == 0 {
        return Ok(encoder);
    }
    let components = PrincipalComponents::fit(cells, count, seed)?;
    Ok(encoder.start_at_projection(components.mean(), components.loadings()))
}

/// Refuses an encoder that cannot read the cells: one that was made for other data, or by hand
/// from layers that do not fit together.
pub(in crate::train) fn check_encoder(encoder: &Encoder, cells: &Cells) -> Result<()> {
    let mut width = cells.genes();
    for (number, layer) in encoder.layers.iter().enumerate() {
        if layer.inputs() != width {
            return Err(Error::LengthMismatch {
                what: format!("the input of layer {number} of the encoder"),
                expected: width,
                found: layer.inputs(),
            });
        }
        width = layer.outputs();
    }
    if encoder.layers.is_empty() {
        return Err(ParameterError::LayerWidths {
            name: "the widths of the encoder",
            value: Vec::new(),
        }
        .into());
    }
    Ok(())
}

/// Refuses a module or batches that do not record what a backward step needs: burn would panic at the
/// first one.
pub(in crate::train) fn check_trainable(module: &impl Module, batches: &Batches<'_>) -> Result<()> {
    let devices = module.devices();
    let others = batches.other_devices();
    let all = devices.iter().chain([batches.device()]).chain(&others);
    match all.filter(|device| !device.is_autodiff()).count() {
        0 => Ok(()),
        _ => Err(Error::Device {
            reason: "training needs automatic differentiation: make modules and batches on \
                     `device.autodiff()`"
                .into(),
        }),
    }
}
