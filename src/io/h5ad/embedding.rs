//! Matrices of `obsm`: embeddings of cells.

use ndarray::Array2;

use super::records::Records;
use crate::error::Result;
use crate::io::hdf5::{Node, Store, check_numeric};
use crate::io::text::listed;

/// The wanted matrices of `cells` rows, by name.
pub(super) fn read_all(
    store: &Store,
    names: &[String],
    cells: usize,
) -> Result<Vec<(String, Array2<f32>)>> {
    names
        .iter()
        .map(|name| Ok((name.clone(), read(store, name, cells)?)))
        .collect()
}

fn read(store: &Store, name: &str, cells: usize) -> Result<Array2<f32>> {
    let at = format!("/obsm/{name}");
    if let Some(Node::Dataset(dataset)) = store.find("/obsm")? {
        // Before anndata 0.7, all matrices were fields of one dataset.
        let records = Records::read(store, "/obsm", &dataset)?;
        let matrix = records.matrix(store, name)?;
        return check_rows(store, &at, matrix, cells);
    }
    let Some(node) = store.find(&at)? else {
        let there = match store.find("/obsm")? {
            Some(_) => store.members("/obsm")?,
            None => Vec::new(),
        };
        return Err(store.error(
            &at,
            format!("the file has no such matrix; there are: {}", listed(&there)),
        ));
    };
    let attributes = store.attributes(&at, &node)?;
    let encoding = attributes.text("encoding-type");
    let dataset = match node {
        Node::Dataset(dataset) if matches!(encoding, None | Some("array")) => dataset,
        _ => return Err(store.unsupported(&at, encoding.unwrap_or("none"))),
    };
    let shape: [usize; 2] = store.shape(&at, &dataset)?;
    if shape[0] != cells {
        return Err(store.error(&at, format!("has {} rows, expected {cells}", shape[0])));
    }
    store.check_extent(&at, &dataset, &shape)?;
    check_numeric(store, &at, &dataset)?;
    store.take_list::<f32>(&at, &dataset, shape[0].saturating_mul(shape[1]), 0)?;
    let values = store.read_f32(&at, &dataset)?;
    Array2::from_shape_vec(shape, values)
        .map_err(|_| store.error(&at, "values are missing; the file is damaged"))
}

fn check_rows(store: &Store, at: &str, matrix: Array2<f32>, cells: usize) -> Result<Array2<f32>> {
    if matrix.nrows() == cells {
        return Ok(matrix);
    }
    Err(store.error(at, format!("has {} rows, expected {cells}", matrix.nrows())))
}
