//! Matrices in memory: as tensors on a device, and stored.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2};

use crate::kernel::host;

/// A tensor of the same shape and values as a matrix.
///
/// ```
/// use burn::tensor::Device;
/// use celldec::tensors::{array_to_tensor, tensor_to_array};
/// use ndarray::array;
///
/// let matrix = array![[1.0f32, 2.0], [3.0, 4.0]];
/// let tensor = array_to_tensor(matrix.view(), &Device::default());
/// assert_eq!(tensor_to_array(tensor.transpose()), matrix.t());
/// ```
pub fn array_to_tensor(array: ArrayView2<'_, f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = array.dim();
    let values: Vec<f32> = array.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// A matrix of the same shape and values as a tensor.
pub fn tensor_to_array(tensor: Tensor<2>) -> Array2<f32> {
    let [rows, columns] = tensor.dims();
    host::waits("matrix");
    let data = tensor.into_data_as::<f32>();
    let values = data
        .as_slice::<f32>()
        .expect("data converted to f32 is f32")
        .to_vec();
    Array2::from_shape_vec((rows, columns), values)
        .expect("a tensor holds as many values as its shape")
}

/// Stores a matrix as its shape and its values, row by row.
pub(crate) mod stored {
    use ndarray::Array2;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Matrix {
        shape: (usize, usize),
        values: Vec<f32>,
    }

    pub fn serialize<S: Serializer>(array: &Array2<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        let values = array.iter().copied().collect();
        let shape = array.dim();
        Matrix { shape, values }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Array2<f32>, D::Error> {
        let Matrix { shape, values } = Matrix::deserialize(deserializer)?;
        Array2::from_shape_vec(shape, values).map_err(D::Error::custom)
    }
}
