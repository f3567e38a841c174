//! One axis of a plot: where values are on it, and its marks.

/// Numbers that read well, in a decade.
const NICE: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// From this many times the smallest value on, equal ratios are equally far apart.
const RATIO_MIN: f64 = 3.0;

/// An axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    begin: f64,
    end: f64,
    marks: Marks,
}

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Marks {
    /// Evenly, with marks so far apart.
    Even(f64),
    /// Equal ratios are equally far apart.
    Logarithmic,
    /// By their square roots: like ratios, but zero has a place too.
    Root,
}

impl Axis {
    /// An even axis from 0 to a little more than `largest`, with about five marks.
    pub(crate) fn to(largest: f64) -> Self {
        Self::even(0.0, if largest > 0.0 { largest } else { 1.0 })
    }

    /// An axis on which values from `smallest` to `largest`, neither below zero, can be told from each
    /// other although some are far from the others.
    pub(crate) fn over(smallest: f64, largest: f64) -> Self {
        if largest < smallest * RATIO_MIN || largest <= 0.0 {
            return Self::even(smallest, largest);
        }
        let end = nice_from(largest);
        if smallest * 100.0 < largest {
            return Self {
                begin: 0.0,
                end,
                marks: Marks::Root,
            };
        }
        Self {
            begin: nice_to(smallest),
            end,
            marks: Marks::Logarithmic,
        }
    }

    fn even(smallest: f64, largest: f64) -> Self {
        // Values that are all the same are in the middle of an axis.
        let spread = (largest - smallest).max(largest * 0.02);
        let rough = if spread > 0.0 { spread / 5.0 } else { 0.2 };
        let step = nice_from(rough);
        let begin = (smallest / step).floor() * step;
        Self {
            begin,
            end: ((largest / step).ceil() * step).max(begin + step),
            marks: Marks::Even(step),
        }
    }

    /// Where a value is, from 0 at the beginning to 1 at the end.
    pub(crate) fn place(self, value: f64) -> f64 {
        let spread: fn(f64) -> f64 = match self.marks {
            Marks::Even(_) => |value| value,
            Marks::Logarithmic => f64::ln,
            Marks::Root => f64::sqrt,
        };
        let begin = spread(self.begin);
        (spread(value) - begin) / (spread(self.end) - begin)
    }

    /// The values that are marked, ascending.
    pub(crate) fn marks(self) -> Vec<f64> {
        match self.marks {
            Marks::Even(step) => {
                let count = ((self.end - self.begin) / step).round() as u32;
                let mark = |mark: u32| self.begin + f64::from(mark) * step;
                (0..=count).map(mark).collect()
            }
            Marks::Logarithmic => {
                let above = |mark: &f64| Some(nice_from(mark * 1.01));
                let marks = std::iter::successors(Some(self.begin), above);
                marks.take_while(|mark| *mark < self.end * 1.01).collect()
            }
            Marks::Root => {
                let mut marks: Vec<f64> = [0.05, 0.2, 0.5, 1.0]
                    .map(|share| nice_to(self.end * share))
                    .into();
                marks.insert(0, 0.0);
                marks
            }
        }
    }

    /// A mark in as many digits as it needs.
    pub(crate) fn label(self, mark: f64) -> String {
        let finest = match self.marks {
            Marks::Even(step) => step,
            Marks::Logarithmic | Marks::Root => mark,
        };
        let digits = if finest >= 1.0 || finest <= 0.0 {
            0
        } else {
            (-finest.log10() - 1e-9).ceil() as usize
        };
        format!("{mark:.digits$}")
    }
}

/// The smallest number that reads well and is not below `value`.
fn nice_from(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let nice = NICE.into_iter().find(|nice| nice * decade >= value);
    nice.unwrap_or(10.0) * decade
}

/// The largest number that reads well and is not above `value`.
fn nice_to(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let mut nice = NICE.into_iter().rev();
    let nice = nice.find(|nice| nice * decade <= value * (1.0 + 1e-9));
    nice.unwrap_or(1.0) * decade
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
            let marks = axis.marks();
            assert!((marks[1] - step).abs() < 1e-9, "{largest}: {marks:?}");
        }
    }

    #[test]
    fn labels_show_as_many_digits_as_the_marks_need() {
        let labels = |axis: Axis| {
            let marks = axis.marks();
            let labels: Vec<_> = marks.iter().map(|mark| axis.label(*mark)).collect();
            labels.join(" ")
        };
        assert_eq!(labels(Axis::to(0.013)), "0.000 0.005 0.010 0.015");
        assert_eq!(labels(Axis::to(61.0)), "0 20 40 60 80");
        assert_eq!(labels(Axis::over(5.8, 26.0)), "5 10 20 50");
        assert_eq!(labels(Axis::over(0.2, 3.0)), "0.2 0.5 1 2 5");
        assert_eq!(labels(Axis::over(0.0, 3.96)), "0 0.2 1 2 5");
        assert_eq!(labels(Axis::over(0.0, 0.03)), "0 0.002 0.01 0.02 0.05");
    }

    #[test]
    fn values_far_apart_do_not_press_the_others_together() {
        let axis = Axis::over(6.0, 300.0);
        assert!(axis.place(12.0) - axis.place(6.0) > 0.1, "{axis:?}");
        let axis = Axis::over(0.0, 30.0);
        assert!(axis.place(1.0) - axis.place(0.1) > 0.05, "{axis:?}");
    }

    #[test]
    fn every_value_is_between_the_ends() {
        let even = Axis::over(147.0, 189.0);
        assert_eq!((even.begin, even.end), (140.0, 190.0));
        assert_eq!(even.marks().len(), 6);
        for (smallest, largest) in [
            (0.0, 0.0),
            (5.0, 5.0),
            (0.0, 1e-9),
            (1e6, 1e6),
            (1.0, 3.0),
            (1.0, 99.0),
            (1.0, 101.0),
            (1e-3, 1e6),
        ] {
            let axis = Axis::over(smallest, largest);
            assert!(axis.begin <= smallest && axis.end >= largest, "{axis:?}");
            let ends = [axis.place(smallest), axis.place(largest)];
            assert!(ends.iter().all(|end| (-1e-9..=1.0 + 1e-9).contains(end)));
            let marks = axis.marks();
            assert!(axis.end > axis.begin && marks.len() < 20, "{axis:?}");
            assert!(marks.is_sorted_by(|one, next| one < next), "{marks:?}");
        }
    }
}
