//! Rows 18 to 21: pairs that cannot be, contradictions, too many, one kind alone.

use celldec::error::ConstraintError;

use super::*;

pub fn row_18_pairs_that_cannot_be_are_named() {
    let cells = simulated(40, 20, 1);
    let far = ConstraintPairs::new(vec![(0, 40)], vec![]).unwrap();
    let trainer = scdcc(3).with_constraints(far).trainer(&cpu()).unwrap();
    let error = Error::from(trainer.fit_observed(&cells, &mut no_work).unwrap_err());
    assert!(
        matches!(
            error,
            Error::Constraint(ConstraintError::OutOfRange { cells: 40, .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("(0, 40)"), "{error}");
    let itself = ConstraintPairs::new(vec![(5, 5)], vec![]).unwrap_err();
    assert!(itself.to_string().contains("cell 5"), "{itself}");
    let read = serde_json::from_str::<ConstraintPairs>(r#"{"must_link":[],"cannot_link":[[5,5]]}"#);
    assert!(read.unwrap_err().to_string().contains("cell 5"));
}

pub fn row_19_contradictions_are_listed() {
    let together = vec![(0, 1), (1, 2), (3, 4)];
    let error = ConstraintPairs::new(together.clone(), vec![(0, 2), (0, 3), (4, 3)]).unwrap_err();
    let Error::Constraint(ConstraintError::Contradiction {
        ref pairs, count, ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((pairs.as_slice(), count), (&[(0, 2), (4, 3)][..], 2));
    let direct = ConstraintPairs::new(vec![(7, 8)], vec![(8, 7)]);
    assert!(direct.is_err());
    let text = r#"{"must_link":[[0,1],[1,2]],"cannot_link":[[0,2]]}"#;
    assert!(serde_json::from_str::<ConstraintPairs>(text).is_err());
    // As data of several experts do, when it is said.
    assert!(ConstraintPairs::with_contradictions(together, vec![(0, 2)]).is_ok());
}

pub fn row_20_more_pairs_than_exist_are_refused() {
    let labels = [Some(0), Some(0), None, Some(1)];
    assert!(ConstraintPairs::from_labels(&labels, 3, 1).is_ok());
    for asked in [4, usize::MAX] {
        let error = ConstraintPairs::from_labels(&labels, asked, 1).unwrap_err();
        assert!(error.to_string().contains("allow only 3"), "{error}");
    }
}

pub fn row_21_one_kind_of_pairs_is_enough() {
    let cells = simulated(40, 20, 1);
    for (together, apart) in [
        (vec![(0, 1), (2, 3)], vec![]),
        (vec![], vec![(0, 1), (2, 3)]),
    ] {
        let pairs = ConstraintPairs::new(together, apart).unwrap();
        let fit = fitted(&scdcc(3).with_constraints(pairs), &cells);
        assert!(fit.embedding().iter().all(|z| z.is_finite()));
        assert!(
            fit.history()
                .iter()
                .all(|record| record.total_loss().is_finite())
        );
    }
}
