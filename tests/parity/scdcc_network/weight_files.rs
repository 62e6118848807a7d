//! Weight files of the original.

use burn::module::Module;
use celldec::model::{ScdccWeights, read_scdcc_weights};

use super::*;
use crate::fixtures::path;

/// Weight files of the original give its weights bit by bit, and a network that computes the same
/// as one built from the fixture's numbers.
#[test]
fn weight_files_of_the_original_are_read_exactly() {
    let [case, _] = Case::all();
    for (file, weights, has_centroids) in [
        ("d_tiny_AE_weights.pth.tar", "f32.adam3", false),
        ("d_tiny_FTcheckpoint_1.pth.tar", "f32.adadelta3", true),
    ] {
        let device = Device::default();
        let ScdccWeights {
            autoencoder,
            clustering,
        } = read_scdcc_weights(path(file), &device).expect("a weight file");
        assert_eq!(clustering.is_some(), has_centroids, "{file}");
        let clustering = clustering.unwrap_or_else(|| case.network().valid().clustering);
        let network = ClusteringNetwork::joint(autoencoder, clustering);
        let found = named(&network, &|w| Some(w.clone()), &|b| Some(b.clone()));
        assert_eq!(found.len(), 17);
        for (name, values) in &found {
            let expected = case.values(&format!("{weights}.{name}"));
            assert_eq!(values, &expected, "{file}: {name}");
        }

        let input = tensor::<2>(&case.fixture, "in.X", &device, DType::F32);
        let z = network.encode(input);
        let output = network.decode(z.clone()).expect("a decoder");
        let expected = forward_by_hand(&case, weights);
        for (what, found, expected) in [
            ("z", z, &expected[0]),
            ("mean", output.mean(), &expected[1]),
            ("dropout", output.dropout(), &expected[2]),
        ] {
            check(
                &format!("{file}: {what}"),
                absolute(&numbers(found), expected),
                BOUND,
            );
        }
    }
}

/// Embedding, mean and dropout in plain f64 arithmetic.
fn forward_by_hand(case: &Case, weights: &str) -> [Vec<f64>; 3] {
    let layer = |input: &[Vec<f64>], name: &str, activation: &dyn Fn(f64) -> f64| {
        let weight = case.values(&format!("{weights}.{name}.weight"));
        let bias = case.values(&format!("{weights}.{name}.bias"));
        let inputs = weight.len() / bias.len();
        input
            .iter()
            .map(|row| {
                weight
                    .chunks(inputs)
                    .zip(&bias)
                    .map(|(weight, bias)| {
                        let product: f64 = weight.iter().zip(row).map(|(w, x)| w * x).sum();
                        activation(product + bias)
                    })
                    .collect()
            })
            .collect::<Vec<Vec<f64>>>()
    };
    let relu = |x: f64| x.max(0.0);
    let input: Vec<Vec<f64>> = case
        .values("in.X")
        .chunks(30)
        .map(<[f64]>::to_vec)
        .collect();
    let hidden = layer(&layer(&input, "encoder.0", &relu), "encoder.2", &relu);
    let z = layer(&hidden, "_enc_mu", &|x| x);
    let features = layer(&layer(&z, "decoder.0", &relu), "decoder.2", &relu);
    let mean = layer(&features, "_dec_mean.0", &|x| x.exp().clamp(1e-5, 1e6));
    let dropout = layer(&features, "_dec_pi.0", &|x| 1.0 / (1.0 + (-x).exp()));
    [z.concat(), mean.concat(), dropout.concat()]
}
