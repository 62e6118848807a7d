//! Rows 36 and 37: other fits beside a fit, and any number of threads.

use super::*;

pub fn row_36_fits_side_by_side_equal_their_solo_runs() {
    let cells = [simulated(80, 40, 3), simulated(70, 50, 4)];
    let fit = |number: usize| bits(&fitted(&scdcc(3 + number), &cells[number]));
    let solo = [fit(0), fit(1)];
    let together = std::thread::scope(|scope| {
        let threads = [0, 1, 0, 1].map(|number| scope.spawn(move || fit(number)));
        threads.map(|thread| thread.join().unwrap())
    });
    for (number, found) in together.iter().enumerate() {
        assert_eq!(*found, solo[number % 2], "fit {number}");
    }
}

/// Large enough that matrix products, the likelihood and data loading are worth splitting.
pub fn row_37_the_number_of_threads_changes_nothing() {
    let cells = simulated(300, 200, 2);
    let plan = Plan::scdcc(3).with_epochs(1, 1).with_seed(1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| bits(&fitted(&plan, &cells)))
    };
    let alone = on(1);
    for threads in [2, 3, 8] {
        assert_eq!(on(threads), alone, "{threads} threads");
    }
}
