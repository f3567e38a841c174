//! A plot as SVG.

use std::fmt::Write;

use super::{
    axis::Axis,
    labels::{self, Area, Named},
    page::escape,
};

const WIDTH: f64 = 560.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;

/// Colours of the style sheet.
const COLOURS: usize = 8;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A filled curve.
    Area,
    /// A line that keeps each value until the next.
    Step,
    /// Single points, with their label beside them. Their axes tell them apart wherever they are.
    Dot,
}

/// Some values.
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) colour: usize,
    pub(crate) kind: Kind,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Series with common axes, which begin at zero and are even unless all are [`Kind::Dot`].
pub(crate) struct Plot {
    pub(crate) title: String,
    /// In units of a width of [`WIDTH`].
    pub(crate) height: f64,
    /// Unit of the horizontal axis.
    pub(crate) x: String,
    /// Unit of the vertical axis.
    pub(crate) y: String,
    pub(crate) series: Vec<Series>,
}

impl Plot {
    /// The plot as an SVG element.
    pub(crate) fn svg(&self) -> String {
        let scale = self.scale();
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{title}</title>\
             <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>",
            height = self.height,
            title = escape(&self.title)
        );
        self.draw_axes(&mut svg, scale);
        let mut legend = LEFT;
        for series in &self.series {
            series.draw(&mut svg, scale);
            if series.kind != Kind::Dot && self.series.len() > 1 {
                legend = series.draw_legend(&mut svg, legend);
            }
        }
        labels::draw(&mut svg, &self.names(scale), scale.frame());
        svg.push_str("</svg>");
        svg
    }

    fn scale(&self) -> Scale {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let dots = self.series.iter().all(|series| series.kind == Kind::Dot);
        let axis = |of: fn(&(f64, f64)) -> f64| {
            let largest = points().map(of).fold(0.0, f64::max);
            let smallest = points().map(of).fold(largest, f64::min);
            if dots {
                Axis::over(smallest, largest)
            } else {
                Axis::to(largest)
            }
        };
        Scale {
            x: axis(|point| point.0),
            y: axis(|point| point.1),
            bottom: self.height - BOTTOM,
        }
    }

    /// The points that have a name of their own.
    fn names(&self, scale: Scale) -> Vec<Named<'_>> {
        let dots = self.series.iter().filter(|series| series.kind == Kind::Dot);
        dots.flat_map(|series| {
            let name = &*series.label;
            let named = move |(x, y)| Named { x, y, name };
            series.places(scale).map(named)
        })
        .collect()
    }

    fn draw_axes(&self, svg: &mut String, scale: Scale) {
        let Scale { x, y, bottom } = scale;
        let right = WIDTH - RIGHT;
        for mark in y.marks() {
            let at = scale.vertical(mark);
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
            let at = scale.horizontal(mark);
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
            self.height - 4.0,
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

    /// Its points in the plot.
    fn places(&self, scale: Scale) -> impl DoubleEndedIterator<Item = (f64, f64)> {
        let points = self.points.iter();
        points.map(move |point| (scale.horizontal(point.0), scale.vertical(point.1)))
    }

    fn draw(&self, svg: &mut String, scale: Scale) {
        let places = || self.places(scale);
        let class = self.class();
        match self.kind {
            Kind::Dot => {
                for (px, py) in places() {
                    let _ = write!(
                        svg,
                        "<circle class=\"k{class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\"/>"
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
                let bottom = scale.bottom;
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

/// Where values are in the plot.
#[derive(Debug, Clone, Copy)]
struct Scale {
    x: Axis,
    y: Axis,
    /// Where the vertical axis begins.
    bottom: f64,
}

impl Scale {
    fn horizontal(self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.x.place(value)
    }

    fn vertical(self, value: f64) -> f64 {
        self.bottom - (self.bottom - TOP) * self.y.place(value)
    }

    /// Where names may stand: a little beyond the axes, but over none of their marks.
    fn frame(self) -> Area {
        Area {
            left: LEFT,
            top: TOP - 14.0,
            right: WIDTH,
            bottom: self.bottom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_cannot_become_markup() {
        let plot = Plot {
            title: "<script>".to_owned(),
            height: 240.0,
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
