//! The state of an optimizer by the path of every parameter, as a checkpoint keeps it.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord, StateSource};
use burn::store::ModuleSnapshot;
use burn::store::burn_pack::{self, Reader, Scalar, Writer};
use burn::tensor::{Device, Tensor, TensorData};

/// The values of a tensor in one row. A step treats every value alike: it is written for one rank
/// and not compiled for each.
pub(super) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let values = tensor.shape().num_elements();
    tensor.reshape([values])
}

/// The tensor of a recorded state, in the precision in which it was recorded; burn would take the
/// device's default.
///
/// burn restores a record on the default device, which is a GPU in builds that have one, there or
/// not, and moves a state to its parameter's device at the next step. So it is put into the host's
/// memory where a CPU backend is built in, and on `device` elsewhere.
pub(super) fn recorded_tensor<const D: usize>(
    source: &mut StateSource,
    prefix: &str,
    field: &str,
    device: &Device,
) -> Option<Tensor<D>> {
    let data = source.take_tensor(prefix, field)?;
    let dtype = data.dtype();
    let host = crate::device::by_name("cpu").unwrap_or_else(|_| device.clone());
    Some(Tensor::from_data(data, (&host, dtype)))
}

/// Tensors and counters of an optimizer, named `{path of the parameter}.{field}`.
///
/// burn's own record is keyed by parameter identifiers, which are drawn anew in every process.
#[derive(Debug, Clone, Default)]
pub(crate) struct OptimizerState {
    pub tensors: BTreeMap<String, TensorData>,
    pub counters: BTreeMap<String, u64>,
}

/// The field under which burn's record keeps the rank of a parameter.
const RANK: &str = "__rank";

impl OptimizerState {
    /// The state of an optimizer that has trained `module`.
    ///
    /// # Errors
    /// What the backend or burn's record says when it cannot be read.
    pub fn of<M: Module>(optimizer: &ModuleOptimizer, module: &M) -> Result<Self, String> {
        Self::of_parameters(optimizer, module.collect(None, None, false))
    }

    fn of_parameters(
        optimizer: &ModuleOptimizer,
        parameters: Vec<burn_pack::Tensor>,
    ) -> Result<Self, String> {
        let paths: BTreeMap<u64, String> = parameters
            .into_iter()
            .filter_map(|parameter| Some((parameter.param_id?, parameter.name)))
            .collect();
        let renamed = |name: &str| {
            let (id, field) = name.split_once('.')?;
            let path = paths.get(&id.parse().ok()?)?;
            Some(format!("{path}.{field}"))
        };
        let unknown = |name: &str| format!("the optimizer has a state of no parameter: {name}");

        let bytes = optimizer.into_bytes().map_err(|error| error.to_string())?;
        let reader = Reader::from_bytes(bytes).map_err(|error| error.to_string())?;
        let mut state = Self::default();
        for (name, &scalar) in reader.scalars() {
            if name.ends_with(RANK) {
                continue;
            }
            let counter = u64::try_from(scalar).map_err(|error| format!("{name}: {error}"))?;
            state
                .counters
                .insert(renamed(name).ok_or_else(|| unknown(name))?, counter);
        }
        for tensor in reader.into_tensors().map_err(|error| error.to_string())? {
            let (name, dtype, shape, _, bytes) =
                tensor.into_parts().map_err(|error| error.to_string())?;
            state.tensors.insert(
                renamed(&name).ok_or_else(|| unknown(&name))?,
                TensorData::from_bytes(bytes, shape, dtype),
            );
        }
        Ok(state)
    }

    /// Gives a fresh optimizer this state, for the parameters of `module`.
    ///
    /// # Errors
    /// Which part of the state does not belong to the module or the optimizer.
    pub fn restore<M: Module>(
        self,
        optimizer: ModuleOptimizer,
        module: &M,
    ) -> Result<ModuleOptimizer, String> {
        self.restore_to(optimizer, module.collect(None, None, false))
    }

    fn restore_to(
        self,
        optimizer: ModuleOptimizer,
        parameters: Vec<burn_pack::Tensor>,
    ) -> Result<ModuleOptimizer, String> {
        if self.tensors.is_empty() && self.counters.is_empty() {
            return Ok(optimizer);
        }
        let parameters: BTreeMap<String, burn_pack::Tensor> = parameters
            .into_iter()
            .map(|parameter| (parameter.name.clone(), parameter))
            .collect();
        // The identifier of a state's parameter, its description and the name of the field.
        let find = |name: &str| {
            let (path, field) = name.rsplit_once('.')?;
            let parameter = parameters.get(path)?;
            Some((parameter.param_id?, parameter, field.to_string()))
        };
        let unknown = |name: &str| format!("it has an optimizer state of no parameter: {name}");

        let count = self.tensors.len();
        let mut tensors = Vec::with_capacity(count);
        let mut scalars = BTreeMap::new();
        for (name, data) in self.tensors {
            let (id, parameter, field) = find(&name).ok_or_else(|| unknown(&name))?;
            if *data.shape() != parameter.shape || data.dtype() != parameter.dtype {
                return Err(format!(
                    "the optimizer state {name} is {:?} {:?}, its parameter {:?} {:?}",
                    data.dtype(),
                    data.shape(),
                    parameter.dtype,
                    parameter.shape,
                ));
            }
            scalars.insert(format!("{id}.{RANK}"), Scalar::from(data.rank()));
            let (bytes, shape, dtype) = data.into_parts();
            tensors.push(burn_pack::Tensor::new(
                format!("{id}.{field}"),
                dtype,
                shape,
                Some(id),
                bytes,
            ));
        }
        for (name, counter) in self.counters {
            let (id, _, field) = find(&name).ok_or_else(|| unknown(&name))?;
            scalars.insert(format!("{id}.{field}"), Scalar::from(counter));
        }
        let writer = scalars
            .iter()
            .fold(Writer::new(tensors), |writer, (name, &scalar)| {
                writer.with_scalar(name, scalar)
            });
        let bytes = writer.into_bytes().map_err(|error| error.to_string())?;
        let record = OptimizerRecord::from_bytes(bytes).map_err(|error| error.to_string())?;
        let optimizer = optimizer.load_record(record);
        // burn skips a parameter whose state lacks a field, which would start it anew.
        if optimizer.to_record().len() == count {
            Ok(optimizer)
        } else {
            Err("its optimizer state is not that of this optimizer".to_string())
        }
    }
}
