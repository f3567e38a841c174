//! A plot as SVG.

use std::fmt::Write;

use super::page::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;

/// Colours of the style sheet.
const COLOURS: usize = 8;

/// Steps of an axis that read well, in a decade.
const NICE: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A filled curve.
    Area,
    /// A line that keeps each value until the next.
    Step,
    /// Single points, with their label beside them.
    Dot,
}

/// Some values.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) colour: usize,
    pub(super) kind: Kind,
    pub(super) points: Vec<(f64, f64)>,
}

/// Series with common axes, which begin at zero.
pub(super) struct Plot {
    pub(super) title: String,
    /// Unit of the horizontal axis.
    pub(super) x: String,
    /// Unit of the vertical axis.
    pub(super) y: String,
    pub(super) series: Vec<Series>,
}

/// One axis: its end, and the distance of its marks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    end: f64,
    step: f64,
}

impl Axis {
    /// An axis from 0 to a little more than `largest`, with about five marks.
    fn to(largest: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let rough = largest / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let nice = NICE.into_iter().find(|nice| nice * decade >= rough);
        let step = nice.unwrap_or(10.0) * decade;
        Self {
            end: (largest / step).ceil() * step,
            step,
        }
    }

    fn marks(self) -> impl Iterator<Item = f64> {
        let count = (self.end / self.step).round() as u32;
        (0..=count).map(move |mark| f64::from(mark) * self.step)
    }

    fn label(self, mark: f64) -> String {
        let digits = if self.step >= 1.0 {
            0
        } else {
            (-self.step.log10()).ceil() as usize
        };
        format!("{mark:.digits$}")
    }
}

impl Plot {
    /// The plot as an SVG element.
    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::to(points().map(|point| point.0).fold(0.0, f64::max));
        let y = Axis::to(points().map(|point| point.1).fold(0.0, f64::max));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{title}</title>\
             <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>",
            title = escape(&self.title)
        );
        self.draw_axes(&mut svg, x, y);
        let mut legend = LEFT;
        for series in &self.series {
            series.draw(&mut svg, x, y);
            if series.kind != Kind::Dot && self.series.len() > 1 {
                legend = series.draw_legend(&mut svg, legend);
            }
        }
        svg.push_str("</svg>");
        svg
    }

    fn draw_axes(&self, svg: &mut String, x: Axis, y: Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for mark in y.marks() {
            let at = vertical(mark, y);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{tx}\" y=\"{ty:.1}\" text-anchor=\"end\">{}</text>",
                y.label(mark),
                tx = LEFT - 6.0,
                ty = at + 4.0,
            );
        }
        for mark in x.marks() {
            let at = horizontal(mark, x);
            let _ = write!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 15.0,
                x.label(mark)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            HEIGHT - 4.0,
            escape(&self.x),
            LEFT - 6.0,
            TOP - 12.0,
            escape(&self.y)
        );
    }
}

impl Series {
    fn class(&self) -> usize {
        self.colour % COLOURS
    }

    fn draw(&self, svg: &mut String, x: Axis, y: Axis) {
        let places = || {
            let place = |point: &(f64, f64)| (horizontal(point.0, x), vertical(point.1, y));
            self.points.iter().map(place)
        };
        let class = self.class();
        match self.kind {
            Kind::Dot => {
                for (px, py) in places() {
                    // Near the right edge the label stands on the left.
                    let (tx, anchor) = if px > WIDTH * 0.6 {
                        (px - 8.0, "end")
                    } else {
                        (px + 8.0, "start")
                    };
                    let _ = write!(
                        svg,
                        "<circle class=\"k{class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\"/>\
                         <text x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                        py + 4.0,
                        escape(&self.label)
                    );
                }
            }
            Kind::Step => {
                let path = steps(places());
                let _ = write!(svg, "<path class=\"line k{class}\" d=\"{path}\"/>");
            }
            Kind::Area => {
                let Some(((first, _), (last, _))) = places().next().zip(places().next_back())
                else {
                    return;
                };
                let bottom = HEIGHT - BOTTOM;
                let path = steps(places());
                let _ = write!(
                    svg,
                    "<path class=\"area k{class}\" d=\"{path}L{last:.1} {bottom}L{first:.1} {bottom}Z\"/>"
                );
            }
        }
    }

    /// Draws an entry of the legend at `left`; where the next one begins.
    fn draw_legend(&self, svg: &mut String, left: f64) -> f64 {
        /// Width of a letter, about.
        const LETTER: f64 = 6.2;
        let _ = write!(
            svg,
            "<rect class=\"k{}\" x=\"{left}\" y=\"23\" width=\"9\" height=\"9\"/>\
             <text x=\"{}\" y=\"32\">{}</text>",
            self.class(),
            left + 14.0,
            escape(&self.label)
        );
        left + 30.0 + LETTER * self.label.chars().count() as f64
    }
}

/// A path that keeps each value until the next.
fn steps(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (number, (x, y)) in places.enumerate() {
        let _ = match number {
            0 => write!(path, "M{x:.1} {y:.1}"),
            _ => write!(path, "H{x:.1}V{y:.1}"),
        };
    }
    path
}

fn horizontal(value: f64, axis: Axis) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * value / axis.end
}

fn vertical(value: f64, axis: Axis) -> f64 {
    let bottom = HEIGHT - BOTTOM;
    bottom - (bottom - TOP) * value / axis.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_not_below_the_largest_value() {
        for (largest, end, step) in [
            (0.0, 1.0, 0.2),
            (7.0, 8.0, 2.0),
            (100.0, 100.0, 20.0),
            (0.013, 0.015, 0.005),
            (61.0, 80.0, 20.0),
        ] {
            let axis = Axis::to(largest);
            assert!((axis.end - end).abs() < 1e-9, "{largest}: {axis:?}");
            assert!((axis.step - step).abs() < 1e-9, "{largest}: {axis:?}");
        }
    }

    #[test]
    fn labels_show_as_many_digits_as_the_step_needs() {
        let axis = Axis::to(0.013);
        assert_eq!(axis.label(0.005), "0.005");
        assert_eq!(Axis::to(61.0).label(20.0), "20");
    }

    #[test]
    fn what_comes_from_outside_cannot_become_markup() {
        let plot = Plot {
            title: "<script>".to_owned(),
            x: String::new(),
            y: String::new(),
            series: vec![Series {
                label: "a&b\"<".to_owned(),
                colour: 0,
                kind: Kind::Dot,
                points: vec![(1.0, 1.0)],
            }],
        };
        let svg = plot.svg();
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"));
        assert!(svg.contains("a&amp;b&quot;&lt;"));
    }
}
