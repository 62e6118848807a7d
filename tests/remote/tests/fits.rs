//! Fits of a device that another process hosts, reached through burn's server on the loopback interface:
//! those of the same device in this process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use burn::remote::RemoteHost;
use celldec::model::ScdccModel;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

/// A process that hosts its CPU, for as long as this lives.
struct Server {
    process: Child,
    device: Device,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_serve"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let host = RemoteHost::websocket(address.trim());
        let device = Device::remote_options(&host).init().unwrap();
        Self { process, device }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn local() -> Device {
    celldec::device::by_name("cpu").unwrap()
}

fn counts() -> CountMatrix {
    SimulationConfig::new(80, 30)
        .with_groups(3)
        .with_seed(1)
        .simulate()
        .unwrap()
        .counts
}

fn fit<H: ReconstructionHead>(plan: &Plan<H>, devices: &[Device]) -> Fit<H> {
    let cells = Preprocess::scdcc().fit(&counts()).unwrap();
    plan.trainer_on(devices).unwrap().fit(&cells).unwrap()
}

/// Losses of all epochs and soft assignments within 1e-4, labels equal.
fn check<H: ReconstructionHead>(plan: &Plan<H>, servers: &[Server; 2], what: &str) {
    let expected = fit(plan, &[local()]);
    let sizes = expected.clusters().sizes();
    assert!(
        sizes.iter().filter(|&&size| size > 0).count() > 1,
        "{what}: {sizes:?}"
    );
    let [first, second] = servers.each_ref().map(|server| server.device.clone());
    for devices in [
        vec![first.clone()],
        vec![first.clone(), second],
        vec![local(), first.clone()],
        vec![first, local()],
    ] {
        let found = fit(plan, &devices);
        let what = format!("{what} on {devices:?}");
        assert_eq!(found.history().len(), expected.history().len(), "{what}");
        for (found, expected) in found.history().iter().zip(expected.history()) {
            assert_eq!(found.losses.len(), expected.losses.len(), "{what}");
            for ((name, found), (_, expected)) in found.losses.iter().zip(&expected.losses) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "{what}, {name}: {found} {expected}"
                );
            }
        }
        let (q, expected_q) = (found.clusters().soft(), expected.clusters().soft());
        assert_eq!(q.dim(), expected_q.dim(), "{what}");
        for (found, expected) in q.iter().zip(expected_q) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{what}: {found} {expected}"
            );
        }
        assert_eq!(
            found.clusters().labels(),
            expected.clusters().labels(),
            "{what}"
        );
    }
}

#[test]
fn fits_of_both_methods() {
    let servers = [Server::start(), Server::start()];
    let known: Vec<_> = (0..80)
        .map(|cell| (cell < 12).then_some(cell % 2))
        .collect();
    let pairs = ConstraintPairs::from_labels(&known, 8, 1).unwrap();
    check(
        &Plan::scdcc(3)
            .with_widths([16, 6])
            .with_batch_size(32)
            .with_epochs(3, 2)
            .with_constraints(pairs),
        &servers,
        "scDCC",
    );
    check(
        &Plan::desc()
            .with_resolutions([1.0])
            .with_widths([16, 6])
            .with_batch_size(32)
            .with_epochs(3, 2),
        &servers,
        "DESC",
    );
    check(
        &Plan::scdcc_reference(3)
            .with_widths([16, 6])
            .with_batch_size(32)
            .with_epochs(4, 3),
        &servers,
        "published scDCC",
    );
}

#[test]
fn a_model_comes_home() {
    let server = Server::start();
    let plan = Plan::scdcc(3).with_widths([16, 6]).with_epochs(2, 1);
    let found = fit(&plan, std::slice::from_ref(&server.device));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    found.model().save(&path).unwrap();
    let loaded = ScdccModel::load(&path, &local()).unwrap();
    let assigned = loaded.assign(&loaded.prepare(&counts()).unwrap()).unwrap();
    assert_eq!(assigned.labels(), found.clusters().labels());
}

/// Nobody is left to compute: an error of this process, not its end.
#[test]
fn a_server_that_goes_away() {
    let server = Server::start();
    let devices = [server.device.clone()];
    let plan = Plan::scdcc(3).with_widths([16, 6]).with_epochs(1, 1);
    fit(&plan, &devices);
    drop(server);
    let cells = Preprocess::scdcc().fit(&counts()).unwrap();
    let failure = plan.trainer_on(&devices).unwrap().fit(&cells).unwrap_err();
    let error = failure.into_parts().0;
    assert!(matches!(error, celldec::Error::Device { .. }), "{error}");
}
