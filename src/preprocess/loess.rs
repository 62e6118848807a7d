//! Local quadratic regression of one variable (loess).
//!
//! Cleveland, Devlin and Grosse, "Regression by local fitting", J. Econometrics 37 (1988), as in
//! the `dloess` routines behind R's and scikit-misc's `loess` with their default *interpolate*
//! surface: the local regression is solved, with its slope, at the vertices of a k-d tree, and
//! cubic Hermite polynomials join them. This is what the `seurat_v3` gene ranking was defined
//! with; it also needs a few dozen regressions where the direct surface needs one per point.

/// A k-d tree cell is split while it holds more than this share of a neighbourhood.
const CELL: f64 = 0.2;

/// How far the outermost vertices lie beyond the data, as a share of its range.
const MARGIN: f64 = 0.005;

/// A column of the local design whose independent part is smaller than this is dropped: the
/// neighbourhood has too few distinct points for that degree.
const RANK_TOLERANCE: f64 = 1e-10;

/// Smooths `y` over `x` `[n]` with degree 2, tricube weights and neighbourhoods of `span · n`
/// points; returns the fitted values `[n]`.
///
/// Where a neighbourhood has fewer than three distinct `x`, the local degree is lowered.
/// `x` and `y` have the same length and hold finite values.
pub(super) fn loess(x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    let n = x.len().min(y.len());
    if n == 0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let sorted_x: Vec<f64> = order.iter().map(|&i| x[i]).collect();
    let sorted_y: Vec<f64> = order.iter().map(|&i| y[i]).collect();

    let neighbours = ((n as f64 * span + 1e-5) as usize).clamp(4.min(n), n);
    let vertices: Vec<Vertex> = vertex_positions(&sorted_x, (n as f64 * span * CELL) as usize)
        .into_iter()
        .map(|position| local_fit(&sorted_x, &sorted_y, position, neighbours))
        .collect();
    x[..n].iter().map(|&x| interpolate(&vertices, x)).collect()
}

/// The local regression at one position.
struct Vertex {
    position: f64,
    value: f64,
    slope: f64,
}

/// Cut points of the one-dimensional k-d tree over sorted `x` and the two outer vertices, rising.
///
/// A node is cut at the data point in its middle, moved to where neighbouring values differ.
fn vertex_positions(x: &[f64], leaf_points: usize) -> Vec<f64> {
    let (first, last) = (x[0], x[x.len() - 1]);
    let range = (last - first).max(1e-10 * first.abs().max(last.abs()) + 1e-30);
    let margin = MARGIN * range;
    let mut positions = vec![first - margin, last + margin];
    let root = Node {
        low: 0,
        high: x.len() - 1,
        left: positions[0],
        right: positions[1],
    };
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        if node.high - node.low < leaf_points.max(1) {
            continue;
        }
        let cut = cut_between_distinct(x, node.low, node.high);
        let position = x[cut];
        if position == node.left || position == node.right {
            continue;
        }
        positions.push(position);
        pending.push(Node {
            high: cut,
            right: position,
            ..node
        });
        pending.push(Node {
            low: cut + 1,
            left: position,
            ..node
        });
    }
    positions.sort_by(f64::total_cmp);
    positions
}

/// A node of the tree: points `low..=high`, between two vertices.
#[derive(Clone, Copy)]
struct Node {
    low: usize,
    high: usize,
    left: f64,
    right: f64,
}

/// The place nearest to the middle of `low..=high` whose value differs from the next one; the
/// middle itself when the search reaches an end of the node first.
fn cut_between_distinct(x: &[f64], low: usize, high: usize) -> usize {
    let middle = (low + high) / 2;
    for distance in 0.. {
        let above = middle + distance;
        if above >= high {
            break;
        }
        if x[above] < x[above + 1] {
            return above;
        }
        let Some(below) = middle.checked_sub(distance).filter(|&place| place >= low) else {
            break;
        };
        if x[below] < x[below + 1] {
            return below;
        }
    }
    middle
}

/// Weighted quadratic regression of the `neighbours` points nearest to `position`.
fn local_fit(x: &[f64], y: &[f64], position: f64, neighbours: usize) -> Vertex {
    let mut start = x.partition_point(|&x| x < position);
    let mut end = start;
    while end - start < neighbours {
        let take_left =
            start > 0 && (end == x.len() || position - x[start - 1] <= x[end] - position);
        if take_left {
            start -= 1;
        } else {
            end += 1;
        }
    }
    let (x, y) = (&x[start..end], &y[start..end]);
    let radius = (position - x[0])
        .abs()
        .max((x[x.len() - 1] - position).abs());
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let weights: Vec<f64> = x
        .iter()
        .map(|x| {
            let distance = (x - position).abs() / radius;
            (1.0 - distance.powi(3)).max(0.0).powi(3).sqrt()
        })
        .collect();
    // All neighbours at the same distance: there is nothing to weigh, let alone to bend.
    if radius <= 0.0 || weights.iter().all(|&weight| weight <= 0.0) {
        return Vertex {
            position,
            value: mean,
            slope: 0.0,
        };
    }

    // Offsets in units of the radius keep the three columns of similar size.
    let offsets: Vec<f64> = x.iter().map(|x| (x - position) / radius).collect();
    let residual: Vec<f64> = y
        .iter()
        .zip(&weights)
        .map(|(y, w)| (y - mean) * w)
        .collect();
    let coefficients = least_squares(&weights, &offsets, residual);
    Vertex {
        position,
        value: mean + coefficients[0],
        slope: coefficients[1] / radius,
    }
}

/// Coefficients of 1, u and u² that fit `target` with the columns `weights · u^j`, by modified
/// Gram–Schmidt with reorthogonalisation.
fn least_squares(weights: &[f64], offsets: &[f64], mut target: Vec<f64>) -> [f64; 3] {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(3);
    let mut r = [[0.0; 3]; 3];
    let mut projections = [0.0; 3];
    for degree in 0..3 {
        let mut column: Vec<f64> = weights
            .iter()
            .zip(offsets)
            .map(|(w, u)| w * u.powi(degree as i32))
            .collect();
        let size = norm(&column);
        for _ in 0..2 {
            for (row, direction) in basis.iter().enumerate() {
                let overlap = dot(direction, &column);
                r[row][degree] += overlap;
                subtract(&mut column, overlap, direction);
            }
        }
        let independent = norm(&column);
        if independent <= RANK_TOLERANCE * size || independent <= 0.0 {
            break;
        }
        r[degree][degree] = independent;
        for value in &mut column {
            *value /= independent;
        }
        projections[degree] = dot(&column, &target);
        subtract(&mut target, projections[degree], &column);
        basis.push(column);
    }
    let mut coefficients = [0.0; 3];
    for row in (0..basis.len()).rev() {
        let known: f64 = (row + 1..basis.len())
            .map(|column| r[row][column] * coefficients[column])
            .sum();
        coefficients[row] = (projections[row] - known) / r[row][row];
    }
    coefficients
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn subtract(from: &mut [f64], factor: f64, direction: &[f64]) {
    for (value, direction) in from.iter_mut().zip(direction) {
        *value -= factor * direction;
    }
}

/// The cubic Hermite polynomial between the two vertices around `x`.
fn interpolate(vertices: &[Vertex], x: f64) -> f64 {
    let upper = vertices
        .partition_point(|vertex| vertex.position < x)
        .clamp(1, vertices.len() - 1);
    let (left, right) = (&vertices[upper - 1], &vertices[upper]);
    let width = right.position - left.position;
    let h = (x - left.position) / width;
    let from_left = (1.0 - h).powi(2);
    let from_right = h.powi(2);
    from_left * (1.0 + 2.0 * h) * left.value
        + from_right * (3.0 - 2.0 * h) * right.value
        + (h * from_left * left.slope + from_right * (h - 1.0) * right.slope) * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_its_own_smooth() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i).sqrt()).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x + 0.5 * x * x).collect();
        for (fitted, y) in loess(&x, &y, 0.3).iter().zip(&y) {
            assert!((fitted - y).abs() < 1e-10, "{fitted} {y}");
        }
    }

    #[test]
    fn few_and_tied_points_give_finite_values() {
        for x in [
            vec![1.0],
            vec![1.0, 1.0, 1.0],
            vec![0.0, 1.0],
            vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0],
        ] {
            let y: Vec<f64> = x.iter().map(|x| 2.0 * x + 1.0).collect();
            let fitted = loess(&x, &y, 0.3);
            assert!(fitted.iter().all(|value| value.is_finite()), "{fitted:?}");
            assert!((fitted[0] - y[0]).abs() < 1e-9, "{fitted:?}");
        }
    }
}
