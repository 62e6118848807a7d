//! One seed, one result: in every run, on any number of threads, beside other fits.

use celldec::prelude::*;

use crate::{Bits, bits, desc, fitted, scdcc, simulated};

fn scdcc_bits(cells: &Cells, plan: &Plan<CountHead>) -> Bits {
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    bits(&fitted(&plan.clone().with_constraints(pairs), cells), cells)
}

fn desc_bits(cells: &Cells, plan: &Plan<MseHead>) -> Bits {
    bits(&fitted(plan, cells), cells)
}

#[test]
fn a_seed_gives_the_same_bits_and_another_seed_others() {
    let (cells, _) = simulated(80, 40, 1);
    assert_eq!(scdcc_bits(&cells, &scdcc(3)), scdcc_bits(&cells, &scdcc(3)));
    assert_eq!(desc_bits(&cells, &desc()), desc_bits(&cells, &desc()));
    assert_ne!(
        scdcc_bits(&cells, &scdcc(3)),
        scdcc_bits(&cells, &scdcc(3).with_seed(4))
    );
    assert_ne!(
        desc_bits(&cells, &desc()),
        desc_bits(&cells, &desc().with_seed(4))
    );
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}

/// Large enough that matrix products, the likelihood and data loading are worth splitting.
#[test]
fn the_number_of_threads_changes_nothing() {
    let (cells, _) = simulated(400, 300, 2);
    for plan in [Plan::scdcc(3), Plan::scdcc_reference(3)] {
        let plan = plan.with_epochs(2, 2).with_seed(1);
        let on = |threads| on_threads(threads, || scdcc_bits(&cells, &plan));
        let alone = on(1);
        assert_eq!(alone, on(2));
        assert_eq!(alone, on(5));
    }

    let plan = Plan::desc().with_epochs(6, 3).with_seed(1);
    let on = |threads| on_threads(threads, || desc_bits(&cells, &plan));
    assert_eq!(on(1), on(3));
}

/// Fits as items of a parallel iterator: each one shares its work with the pool that it runs in.
#[test]
fn fits_inside_a_thread_pool_equal_their_solo_runs() {
    use rayon::prelude::*;

    let (cells, _) = simulated(300, 300, 5);
    let fit = |seed| {
        let plan = Plan::scdcc(3).with_epochs(1, 1).with_seed(seed);
        scdcc_bits(&cells, &plan)
    };
    let solo: Vec<Bits> = (0..6).map(fit).collect();
    let together = on_threads(3, || (0..6).into_par_iter().map(fit).collect::<Vec<Bits>>());
    assert_eq!(solo, together);
}

/// Fault 36.
#[test]
fn fits_side_by_side_equal_their_solo_runs() {
    let (first, _) = simulated(80, 40, 3);
    let (second, _) = simulated(70, 50, 4);
    let solo = (
        scdcc_bits(&first, &scdcc(3)),
        desc_bits(&second, &desc()),
        scdcc_bits(&second, &scdcc(4)),
    );
    let together = std::thread::scope(|scope| {
        let a = scope.spawn(|| scdcc_bits(&first, &scdcc(3)));
        let b = scope.spawn(|| desc_bits(&second, &desc()));
        let c = scope.spawn(|| scdcc_bits(&second, &scdcc(4)));
        (a.join().unwrap(), b.join().unwrap(), c.join().unwrap())
    });
    assert_eq!(solo, together);
}
