//! Matrices in memory: as tensors on a device, and stored.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2, s};

use crate::error::{Error, Result};
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

/// The same, of a device that may have failed.
///
/// # Errors
/// [`Error::Device`] with what it says.
pub(crate) fn read_matrix(tensor: Tensor<2>) -> Result<Array2<f32>> {
    let [rows, columns] = tensor.dims();
    let mut matrix = RowsOnDevice::new(rows, columns);
    matrix.add(0..rows, tensor)?;
    matrix.read()
}

/// A matrix whose rows are computed on a device one block after the other. To read each of them at once
/// would let the device wait for the next one to be asked for.
pub(crate) struct RowsOnDevice {
    matrix: Array2<f32>,
    unread: Vec<(Range<usize>, Tensor<1>)>,
}

impl RowsOnDevice {
    /// Values that are left on the device, at most: eight megabytes.
    const UNREAD: usize = 1 << 21;

    pub fn new(rows: usize, columns: usize) -> Self {
        Self {
            matrix: Array2::zeros((rows, columns)),
            unread: Vec::new(),
        }
    }

    /// Adds a range of rows.
    ///
    /// # Errors
    /// [`Error::Device`] with what the device says if it failed.
    pub fn add(&mut self, rows: Range<usize>, values: Tensor<2>) -> Result<()> {
        let [count, columns] = values.dims();
        if count * columns > 0 {
            self.unread.push((rows, values.reshape([count * columns])));
        }
        let unread = self.unread.iter().map(|(rows, _)| rows.len());
        if unread.sum::<usize>() * columns >= Self::UNREAD {
            self.read_all()?;
        }
        Ok(())
    }

    /// The matrix; rows that were not added are zeros.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn read(mut self) -> Result<Array2<f32>> {
        self.read_all()?;
        Ok(self.matrix)
    }

    fn read_all(&mut self) -> Result<()> {
        let columns = self.matrix.ncols();
        let (ranges, unread): (Vec<_>, Vec<_>) = self.unread.drain(..).unzip();
        let lists = host::read_lists(unread).map_err(|reason| Error::Device { reason })?;
        for (rows, values) in ranges.into_iter().zip(lists) {
            let values = ArrayView2::from_shape((rows.len(), columns), &values);
            let values = values.map_err(|error| Error::Device {
                reason: error.to_string(),
            })?;
            self.matrix.slice_mut(s![rows, ..]).assign(&values);
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// More than is left unread, in blocks of different sizes.
    #[test]
    fn rows_are_read_where_they_belong() {
        let (rows, columns) = (5000, 1000);
        let matrix =
            Array2::from_shape_fn((rows, columns), |(row, column)| (row * 7 + column) as f32);
        let device = Device::default();
        let mut read = RowsOnDevice::new(rows, columns);
        for block in [0..1, 1..1, 1..2100, 2100..4999, 4999..5000] {
            let values = matrix.slice(s![block.clone(), ..]);
            read.add(block, array_to_tensor(values, &device)).unwrap();
        }
        assert_eq!(read.read().unwrap(), matrix);
        let transposed = array_to_tensor(matrix.view(), &device).transpose();
        assert_eq!(read_matrix(transposed).unwrap(), matrix.t());
    }
}
