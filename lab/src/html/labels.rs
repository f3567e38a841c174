//! Names beside the points of a plot, none over another.
//!
//! Points that are close together are what such a plot is looked at for, so their names must not
//! hide each other. Each name takes the first free one of a few places around its point, nearest
//! first; one that had to go further away gets a thin line to its point.

use std::fmt::Write;

use super::page::escape;

/// Width of a letter, about, and height of a line.
const LETTER: f64 = 6.0;
const LINE: f64 = 13.0;

/// Around a point nothing is written.
const POINT: f64 = 6.0;

/// Quarters of a line up and down that are tried: far enough for a dozen names in one place.
const QUARTERS: i32 = 48;

/// A rectangle by its edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    /// How much of it the other covers.
    fn shared(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    fn holds(&self, other: &Self) -> bool {
        other.left >= self.left
            && other.right <= self.right
            && other.top >= self.top
            && other.bottom <= self.bottom
    }

    fn around(x: f64, y: f64) -> Self {
        Self {
            left: x - POINT,
            top: y - POINT,
            right: x + POINT,
            bottom: y + POINT,
        }
    }
}

/// A point and its name.
pub(crate) struct Named<'n> {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) name: &'n str,
}

impl Named<'_> {
    /// Where the name may stand, best first.
    fn places(&self) -> impl Iterator<Item = Area> {
        let width = LETTER * self.name.chars().count() as f64;
        let quarters = (0..=QUARTERS).flat_map(|quarter| [-quarter, quarter]);
        let sides = move |quarter: i32| {
            let shift = 9.0 + f64::from(quarter.abs());
            let middle = self.y + LINE / 4.0 * f64::from(quarter);
            [self.x + shift, self.x - shift - width, self.x - width / 2.0].map(|left| Area {
                left,
                top: middle - LINE / 2.0,
                right: left + width,
                bottom: middle + LINE / 2.0,
            })
        };
        quarters.flat_map(sides)
    }

    fn draw(&self, svg: &mut String, place: Area) {
        let middle = f64::midpoint(place.top, place.bottom);
        if (middle - self.y).abs() > LINE * 1.5 {
            let end = self.x.clamp(place.left, place.right);
            let edge = if middle < self.y {
                place.bottom
            } else {
                place.top
            };
            let _ = write!(
                svg,
                "<line class=\"lead\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{end:.1}\" y2=\"{edge:.1}\"/>",
                self.x, self.y
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            place.left,
            middle + 4.0,
            escape(self.name)
        );
    }
}

/// Where each name stands, inside `frame` and, as far as there is room, over nothing else.
pub(crate) fn place(points: &[Named<'_>], frame: Area) -> Vec<Area> {
    let mut taken: Vec<Area> = points
        .iter()
        .map(|point| Area::around(point.x, point.y))
        .collect();
    let mut placed = Vec::with_capacity(points.len());
    for point in points {
        let covered = |place: &Area| taken.iter().map(|other| place.shared(other)).sum::<f64>();
        let inside = point.places().filter(|place| frame.holds(place));
        let best = inside.min_by(|a, b| covered(a).total_cmp(&covered(b)));
        // A name that is wider than the frame stands where it would stand first.
        let place = best.or_else(|| point.places().next());
        let place = place.unwrap_or_else(|| Area::around(point.x, point.y));
        taken.push(place);
        placed.push(place);
    }
    placed
}

/// Writes all names.
pub(crate) fn draw(svg: &mut String, points: &[Named<'_>], frame: Area) {
    for (point, place) in points.iter().zip(place(points, frame)) {
        point.draw(svg, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Area = Area {
        left: 0.0,
        top: 0.0,
        right: 500.0,
        bottom: 200.0,
    };

    fn named(points: &[(f64, f64)]) -> Vec<Named<'static>> {
        let name = "SageMaker target tracking";
        points.iter().map(|&(x, y)| Named { x, y, name }).collect()
    }

    #[test]
    fn a_point_alone_has_its_name_on_the_right_or_at_the_edge_on_the_left() {
        let points = named(&[(100.0, 100.0), (490.0, 20.0)]);
        let places = place(&points, FRAME);
        assert!((places[0].left - 109.0).abs() < 1e-9, "{places:?}");
        assert!((places[1].right - 481.0).abs() < 1e-9, "{places:?}");
    }

    #[test]
    fn names_of_points_in_one_place_stand_apart_and_inside() {
        for (x, y) in [(250.0, 100.0), (3.0, 198.0), (495.0, 2.0)] {
            let near = |n: u32| (x + f64::from(n % 3), y - f64::from(n % 2));
            let points = named(&(0..8).map(near).collect::<Vec<_>>());
            let places = place(&points, FRAME);
            for (number, one) in places.iter().enumerate() {
                assert!(FRAME.holds(one), "{one:?}");
                for other in &places[..number] {
                    assert!(one.shared(other) < 1e-9, "{one:?} and {other:?}");
                }
                for point in &points {
                    let over = one.shared(&Area::around(point.x, point.y));
                    assert!(over < 1e-9, "{one:?} hides a point");
                }
            }
        }
    }

    #[test]
    fn a_name_wider_than_the_frame_is_still_written() {
        let name = &"x".repeat(200);
        let points = [Named {
            x: 10.0,
            y: 10.0,
            name,
        }];
        let mut svg = String::new();
        draw(&mut svg, &points, FRAME);
        assert!(svg.contains(name.as_str()));
    }
}
