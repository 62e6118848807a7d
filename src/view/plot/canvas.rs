//! Drawing in pixels from the top left corner.

use kuva::render::color::Color;
use kuva::render::render::Primitive;

use super::palette::{INK, WHITE};

/// Where a text stands relative to its position.
pub(super) use kuva::render::render::TextAnchor as Anchor;

/// Text as it is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub size: u32,
    pub anchor: Anchor,
    pub bold: bool,
    /// Degrees, clockwise.
    pub rotate: Option<f64>,
}

impl Style {
    pub fn new(size: u32, anchor: Anchor) -> Self {
        Self {
            size,
            anchor,
            bold: false,
            rotate: None,
        }
    }

    pub fn bold(mut self) -> Self {
        self.bold = true;
        self
    }

    pub fn rotated(mut self, degrees: f64) -> Self {
        self.rotate = Some(degrees);
        self
    }
}

/// What has been drawn so far.
#[derive(Default)]
pub(super) struct Canvas {
    pub elements: Vec<Primitive>,
}

impl Canvas {
    /// A text whose baseline is at `y`.
    pub fn text(&mut self, x: f64, y: f64, text: &str, style: Style) {
        self.colored_text(x, y, text, style, INK);
    }

    pub fn colored_text(&mut self, x: f64, y: f64, text: &str, style: Style, color: Color) {
        self.elements.push(Primitive::Text {
            x,
            y,
            content: plain(text),
            size: style.size,
            anchor: style.anchor,
            rotate: style.rotate,
            bold: style.bold,
            color: Some(color),
        });
    }

    /// A bold text, centred at a point and set off from what is beneath it by a white edge.
    pub fn text_over_points(&mut self, x: f64, y: f64, text: &str, size: u32) {
        const EDGE: f64 = 1.6;
        let baseline = y + 0.36 * f64::from(size);
        let style = Style::new(size, Anchor::Middle).bold();
        for step in 0..12 {
            let (sin, cos) = (f64::from(step) / 12.0 * std::f64::consts::TAU).sin_cos();
            let (x, y) = (x + EDGE * cos, baseline + EDGE * sin);
            self.colored_text(x, y, text, style, WHITE);
        }
        self.text(x, baseline, text, style);
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), color: Color, width: f64) {
        self.elements.push(Primitive::Line {
            x1: from.0,
            y1: from.1,
            x2: to.0,
            y2: to.1,
            stroke: color,
            stroke_width: width,
            stroke_dasharray: None,
        });
    }

    pub fn polyline(&mut self, points: Vec<(f64, f64)>, color: Color, width: f64) {
        self.elements.push(Primitive::PolyLine {
            points,
            stroke: color,
            stroke_width: width,
            stroke_dasharray: None,
        });
    }

    pub fn circle(&mut self, x: f64, y: f64, radius: f64, fill: Color) {
        self.elements.push(Primitive::Circle {
            cx: x,
            cy: y,
            r: radius,
            fill,
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        });
    }

    pub fn rectangle(&mut self, corner: (f64, f64), size: (f64, f64), fill: Color) {
        self.elements.push(rectangle(corner, size, fill, None));
    }

    pub fn outline(&mut self, corner: (f64, f64), size: (f64, f64), stroke: Color) {
        self.elements
            .push(rectangle(corner, size, Color::None, Some(stroke)));
    }
}

fn rectangle(
    corner: (f64, f64),
    size: (f64, f64),
    fill: Color,
    stroke: Option<Color>,
) -> Primitive {
    Primitive::Rect {
        x: corner.0,
        y: corner.1,
        width: size.0,
        height: size.1,
        fill,
        stroke,
        stroke_width: Some(1.0),
        opacity: None,
    }
}

/// Text that the library takes literally: it would read `$…$` as mathematics, and XML cannot hold
/// control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '$' => plain.push_str("\\$"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

/// About the width of a text in pixels, rather too much than too little: advances of DejaVu Sans,
/// the widest of the fonts that pictures name.
pub(super) fn text_width(text: &str, size: u32) -> f64 {
    let advance = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '\'' | '|' => 0.3,
        ' ' | '.' | ',' | ':' | ';' | '/' | '\\' => 0.34,
        'f' | 'r' | 't' | '-' | '(' | ')' | '[' | ']' | '!' => 0.41,
        'm' | 'M' | 'W' | '@' | '%' => 1.0,
        'w' | 'G' | 'O' | 'Q' | 'N' | 'H' | 'D' | 'U' | '+' | '<' | '>' | '=' | '_' => 0.84,
        'A'..='Z' => 0.72,
        c if c.is_ascii() => 0.64,
        c if (c as u32) < 0x2000 => 0.75,
        _ => 1.05,
    };
    text.chars().map(advance).sum::<f64>() * f64::from(size)
}

/// The text, cut so that it is at most `width` pixels wide.
pub(super) fn shortened(text: &str, size: u32, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut short = String::new();
    for character in text.chars() {
        short.push(character);
        if text_width(&short, size) + f64::from(size) > width {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_their_width() {
        assert_eq!(shortened("CD4+", 12, 100.0), "CD4+");
        let long = "a very long name of a cell type";
        let short = shortened(long, 12, 100.0);
        assert!(short.ends_with('…') && long.starts_with(short.trim_end_matches('…')));
        assert!(text_width(&short, 12) <= 101.0 && text_width(&short, 12) > 80.0);
    }

    #[test]
    fn nothing_in_a_text_has_a_meaning() {
        assert_eq!(plain("$\\alpha$ \u{1}x"), "\\$\\alpha\\$  x");
    }
}
