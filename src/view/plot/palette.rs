//! Colours.

use kuva::plot::ColorMap;
use kuva::render::color::Color;

/// Number of colours before [`group_color`] begins again.
pub const GROUP_COLORS: usize = PALETTE.len();

/// The first six are those of Okabe and Ito (*Color Universal Design*, 2008) without black, yellow
/// and grey. The others were added one by one, each as far as possible from all before it (the
/// method of Glasbey et al., *Color Res. Appl.* 2007), where the distance of two colours is the
/// smallest in OKLab as seen with normal, deuteranopic and protanopic vision (Machado et al.,
/// *IEEE Trans. Vis. Comput. Graph.* 2009).
const PALETTE: [(u8, u8, u8); 20] = [
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
    (0x00, 0x9E, 0x73),
    (0x00, 0x72, 0xB2),
    (0xD5, 0x5E, 0x00),
    (0xCC, 0x79, 0xA7),
    (0x5A, 0x1E, 0x00),
    (0x00, 0x00, 0xA5),
    (0x3C, 0xF0, 0x96),
    (0x4B, 0x00, 0xFF),
    (0xA5, 0x00, 0x5A),
    (0x87, 0x78, 0xFF),
    (0x5A, 0x00, 0x5A),
    (0x87, 0x4B, 0x00),
    (0xB4, 0xB4, 0xA5),
    (0xD2, 0x00, 0xB4),
    (0x87, 0xE1, 0xF0),
    (0xD2, 0xD2, 0x00),
    (0x00, 0x5A, 0x69),
    (0xFF, 0x4B, 0x69),
];

/// Red, green and blue of a group, for example a cluster.
///
/// The first [`GROUP_COLORS`] groups have distinct colours, also for readers with red-green colour
/// blindness; after that colours begin again, and only labels tell groups apart.
///
/// ```
/// use celldec::view::plot::{GROUP_COLORS, group_color};
///
/// assert_eq!(group_color(0), (0xE6, 0x9F, 0x00));
/// assert_eq!(group_color(GROUP_COLORS), group_color(0));
/// ```
pub fn group_color(group: usize) -> (u8, u8, u8) {
    PALETTE[group % GROUP_COLORS]
}

pub(super) const WHITE: Color = Color::Rgb(255, 255, 255);
pub(super) const INK: Color = Color::Rgb(34, 34, 34);
pub(super) const FRAME: Color = Color::Rgb(120, 120, 120);
pub(super) const GRID: Color = Color::Rgb(232, 232, 232);

pub(super) fn of_group(group: usize) -> Color {
    let (red, green, blue) = group_color(group);
    Color::Rgb(red, green, blue)
}

/// viridis, for values within 0..=1.
pub(super) fn of_value(value: f64) -> Color {
    of_map(&ColorMap::Viridis, value)
}

/// White to dark blue, for fractions within 0..=1.
pub(super) fn of_fraction(fraction: f64) -> Color {
    of_map(&ColorMap::Blues, fraction)
}

/// White on dark colours, dark on light ones.
pub(super) fn text_on(background: &Color) -> Color {
    match background {
        // Rec. 709 luma, without linearisation: only the order matters.
        Color::Rgb(red, green, blue)
            if 0.2126 * f64::from(*red)
                + 0.7152 * f64::from(*green)
                + 0.0722 * f64::from(*blue)
                < 140.0 =>
        {
            WHITE
        }
        _ => INK,
    }
}

fn of_map(map: &ColorMap, value: f64) -> Color {
    let (red, green, blue) = map
        .map_rgb(value.clamp(0.0, 1.0))
        .unwrap_or((128, 128, 128));
    Color::Rgb(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    const NORMAL: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    const DEUTERANOPIA: Matrix = [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ];
    const PROTANOPIA: Matrix = [
        [0.152_286, 1.052_583, -0.204_868],
        [0.114_503, 0.786_281, 0.099_216],
        [-0.003_882, -0.048_116, 1.051_998],
    ];
    const TO_CONES: Matrix = [
        [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
        [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
        [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
    ];
    const TO_LAB: Matrix = [
        [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
        [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
        [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
    ];

    fn times(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(m, v)| m * v).sum())
    }

    /// OKLab of a colour as seen.
    fn seen((red, green, blue): (u8, u8, u8), vision: &Matrix) -> [f64; 3] {
        let linear = [red, green, blue].map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        });
        let linear = times(vision, linear).map(|x| x.clamp(0.0, 1.0));
        times(&TO_LAB, times(&TO_CONES, linear).map(f64::cbrt))
    }

    fn smallest_distance(colors: &[(u8, u8, u8)], vision: &Matrix) -> f64 {
        let seen: Vec<[f64; 3]> = colors.iter().map(|&color| seen(color, vision)).collect();
        let mut smallest = f64::INFINITY;
        for (index, a) in seen.iter().enumerate() {
            for b in &seen[..index] {
                let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
                smallest = smallest.min(squares.sum::<f64>().sqrt());
            }
        }
        smallest
    }

    #[test]
    fn groups_stay_distinct_without_red_or_green() {
        // A difference that is just noticeable is about 0.02.
        assert!(smallest_distance(&PALETTE, &NORMAL) > 0.12);
        assert!(smallest_distance(&PALETTE, &DEUTERANOPIA) > 0.075);
        assert!(smallest_distance(&PALETTE, &PROTANOPIA) > 0.075);
        // And from the paper.
        for color in PALETTE {
            assert!(smallest_distance(&[color, (255, 255, 255)], &NORMAL) > 0.15);
        }
    }

    #[test]
    fn text_is_readable_on_both_ends() {
        assert!(matches!(text_on(&of_fraction(0.0)), Color::Rgb(34, ..)));
        assert!(matches!(text_on(&of_fraction(1.0)), Color::Rgb(255, ..)));
    }
}
