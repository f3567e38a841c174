//! The numbers of `/metrics`.

use std::collections::BTreeMap;

/// A page in Prometheus' text form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub(crate) fn parse(page: &str) -> Self {
        let lines = page
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(Sample::parse).collect())
    }

    /// The sum of all series of this name that have these labels; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|sample| sample.value).sum()
    }

    /// How many series of this name have these labels.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.series(name, labels).count()
    }

    fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|have| have == value))
        };
        self.0
            .iter()
            .filter(move |sample| sample.name == name && has(sample))
    }

    /// All series whose labels hold these, for comparing two pages.
    pub(crate) fn about(&self, label: &str, value: &str) -> BTreeMap<String, f64> {
        let about = |s: &&Sample| s.labels.get(label).is_some_and(|have| have == value);
        self.0
            .iter()
            .filter(about)
            .map(|s| (format!("{}{:?}", s.name, s.labels), s.value))
            .collect()
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("a sample: {line}"));
        let (name, labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, rest)) => (name, rest.strip_suffix('}').expect("closed labels")),
        };
        let value = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
        Self {
            name: name.to_owned(),
            labels: parse_labels(labels),
            value,
        }
    }
}

fn parse_labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let (mut value, mut escaped, mut end) = (String::new(), false, rest.len());
        for (at, c) in rest.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    end = at;
                    break;
                }
                c => {
                    value.push(if escaped && c == 'n' { '\n' } else { c });
                    escaped = false;
                }
            }
        }
        labels.insert(name.trim_start_matches(',').trim().to_owned(), value);
        text = rest.get(end + 1..).unwrap_or("");
    }
    labels
}

#[test]
fn samples_are_read_with_their_labels() {
    let page = "# TYPE a gauge\na{x=\"1\",y=\"q\\\"uo, te\"} 2\na{x=\"2\"} 3.5\n\nb 1e3\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.sum("a", &[]), 5.5);
    assert_eq!(metrics.sum("a", &[("y", "q\"uo, te")]), 2.0);
    assert_eq!(metrics.sum("b", &[]), 1000.0);
    assert_eq!(metrics.sum("c", &[]), 0.0);
}
