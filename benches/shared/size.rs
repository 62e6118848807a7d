//! Numbers of cells in the names of figures.

/// A number of cells as the end of a figure's name.
pub fn size(cells: usize) -> String {
    if cells >= 1_000_000 && cells.is_multiple_of(1_000_000) {
        format!("{}m", cells / 1_000_000)
    } else if cells >= 1000 && cells.is_multiple_of(1000) {
        format!("{}k", cells / 1000)
    } else {
        cells.to_string()
    }
}
