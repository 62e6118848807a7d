//! A similarity of one's own between cells and centroids.

use celldec::burn::tensor::Tensor;
use celldec::description::Description;
use celldec::nn::{Similarity, SimilarityKernel};
use celldec::prelude::*;
use celldec_downstream::{short, three_groups};

// program: similarity; at most 15 lines
/// A Laplacian of the distance, `q_ij ∝ exp(−‖z_i − μ_j‖ / scale)`.
struct Laplacian {
    scale: f64,
}

impl Similarity for Laplacian {
    fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2> {
        // The root has no gradient at 0.
        (squared_distances + 1e-8).sqrt() / -self.scale
    }

    fn description(&self) -> Description {
        Description::new("laplacian").with("scale", self.scale)
    }
}
// end

#[test]
fn a_similarity_of_ones_own_is_fitted_saved_and_loaded() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let device = Device::default();
    let plan =
        short(Plan::scdcc(3)).with_similarity(SimilarityKernel::own(Laplacian { scale: 2.0 }));
    let fit = plan.trainer(&device)?.fit(&cells)?;
    assert_ne!(
        fit.clusters().soft(),
        short(Plan::scdcc(3))
            .trainer(&device)?
            .fit(&cells)?
            .clusters()
            .soft()
    );

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    fit.model().save(&path)?;
    let load = |scale| ScdccModel::load_with_similarity(&path, &device, Laplacian { scale });
    assert_eq!(load(2.0)?.assign(&cells)?.soft(), fit.clusters().soft());
    // A file holds no code: the similarity must be given, and be the one that it was.
    for refused in [ScdccModel::load(&path, &device), load(3.0)] {
        let message = refused.expect_err("another similarity").to_string();
        assert!(message.contains("laplacian"), "{message}");
    }
    Ok(())
}
