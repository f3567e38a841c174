//! Every series that is recorded through the `metrics` facade, and their page.
//!
//! Exporters keep a series for as long as the process lives. Here services and deployments come and
//! go, so the series of one go with it: see [`forget`].

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SetRecorderError,
    SharedString, Unit,
};
use parking_lot::Mutex;
use penstock_config::fleet::METRIC_BOUNDS_MS;

/// Text that is handed on together.
const CHUNK: usize = 64 << 10;

/// The registry that the facade records into, once there is one.
static INSTALLED: OnceLock<Arc<Registry>> = OnceLock::new();

/// All series.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    families: BTreeMap<String, Family>,
    /// Where the series of a deployment are, by service and deployment.
    owned: HashMap<String, HashMap<String, Vec<Place>>>,
}

/// Name and labels of a series.
type Place = (String, Arc<str>);

#[derive(Default, Clone)]
struct Family {
    help: String,
    series: BTreeMap<Arc<str>, Series>,
}

#[derive(Clone)]
enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of a float.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Seconds>),
}

/// Durations by bucket.
#[derive(Default)]
struct Seconds {
    counts: [AtomicU64; METRIC_BOUNDS_MS.len() + 1],
    /// The bits of a float.
    sum: AtomicU64,
}

/// Makes the `metrics` facade record here.
///
/// # Errors
///
/// When it records elsewhere already.
pub fn install() -> Result<Arc<Registry>, SetRecorderError<Arc<Registry>>> {
    let registry = Arc::new(Registry::default());
    metrics::set_global_recorder(Arc::clone(&registry))?;
    Ok(Arc::clone(INSTALLED.get_or_init(|| registry)))
}

/// Drops the series of a deployment that is gone.
pub(crate) fn forget(service: &str, deployment: &str) {
    if let Some(registry) = INSTALLED.get() {
        registry.forget(service, deployment);
    }
}

impl Registry {
    /// The page in Prometheus' text format, piece by piece, until `take` wants no more. What is
    /// recorded meanwhile waits for nobody.
    pub fn write(&self, take: &mut dyn FnMut(String) -> bool) -> bool {
        let names: Vec<String> = self.state.lock().families.keys().cloned().collect();
        for name in names {
            let Some(family) = self.state.lock().families.get(&name).cloned() else {
                continue;
            };
            let Some(first) = family.series.values().next() else {
                continue;
            };
            let (help, kind) = (&family.help, first.kind(&name));
            let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, series) in &family.series {
                series.write(&name, labels, &mut text);
                if text.len() >= CHUNK && !take(std::mem::take(&mut text)) {
                    return false;
                }
            }
            if !take(text) {
                return false;
            }
        }
        true
    }

    fn forget(&self, service: &str, deployment: &str) {
        let State { families, owned } = &mut *self.state.lock();
        let Some(deployments) = owned.get_mut(service) else {
            return;
        };
        for (name, labels) in deployments.remove(deployment).unwrap_or_default() {
            if let Some(family) = families.get_mut(&name) {
                family.series.remove(&labels);
            }
        }
        if deployments.is_empty() {
            owned.remove(service);
        }
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        let mut state = self.state.lock();
        let family = state.families.entry(name.as_str().to_owned()).or_default();
        family.help = help.replace('\\', "\\\\").replace('\n', "\\n");
    }

    /// The series of a key; one that begins is made by `begin`.
    fn series(&self, key: &Key, begin: impl FnOnce() -> Series) -> Series {
        let labels: Arc<str> = labels(key).into();
        let State { families, owned } = &mut *self.state.lock();
        let family = families.entry(key.name().to_owned()).or_default();
        if let Some(known) = family.series.get(&labels) {
            return known.clone();
        }
        let label = |name| {
            let found = key.labels().find(|label| label.key() == name);
            found.map(|label| label.value().to_owned())
        };
        if let (Some(service), Some(deployment)) = (label("service"), label("deployment")) {
            let places = owned.entry(service).or_default().entry(deployment);
            let place = (key.name().to_owned(), Arc::clone(&labels));
            places.or_default().push(place);
        }
        family.series.entry(labels).or_insert_with(begin).clone()
    }
}

/// `a="…",b="…"`
fn labels(key: &Key) -> String {
    let mut text = String::new();
    for label in key.labels() {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(label.key());
        text.push_str("=\"");
        for c in label.value().chars() {
            match c {
                '\\' | '"' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

impl Series {
    fn kind(&self, name: &str) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            // The facade has counters of whole numbers only.
            Self::Gauge(_) if name.ends_with("_total") => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn write(&self, name: &str, labels: &str, text: &mut String) {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        match self {
            Self::Counter(value) => sample(text, name, labels, &load(value)),
            Self::Gauge(value) => sample(text, name, labels, &f64::from_bits(load(value))),
            Self::Histogram(seconds) => seconds.write(name, labels, text),
        }
    }
}

fn sample(text: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    let written = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
    written.expect("writing to a string does not fail");
}

impl Seconds {
    fn write(&self, name: &str, labels: &str, text: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let counts = self.counts.each_ref().map(|n| n.load(Ordering::Relaxed));
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return;
        }
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in METRIC_BOUNDS_MS.into_iter().zip(counts) {
            below += count;
            let labels = format!("{labels}{comma}le=\"{}\"", seconds(bound));
            sample(text, &bucket, &labels, &below);
        }
        sample(text, &bucket, &format!("{labels}{comma}le=\"+Inf\""), &all);
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        sample(text, &format!("{name}_sum"), labels, &sum);
        sample(text, &format!("{name}_count"), labels, &all);
    }
}

/// A bound as the facade gives durations.
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

impl HistogramFn for Seconds {
    fn record(&self, value: f64) {
        let bucket = METRIC_BOUNDS_MS.partition_point(|bound| seconds(*bound) < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It always wants to, so this never fails.
        let _ = self
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.series(key, || Series::Counter(Arc::default())) {
            Series::Counter(value) => Counter::from_arc(value),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, || Series::Gauge(Arc::default())) {
            Series::Gauge(value) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key, || Series::Histogram(Arc::default())) {
            Series::Histogram(value) => Histogram::from_arc(value),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: Metadata<'_> = Metadata::new("", metrics::Level::INFO, None);

    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        Key::from_parts(name, labels)
    }

    fn page(registry: &Registry) -> String {
        let mut page = String::new();
        registry.write(&mut |piece| {
            page += &piece;
            true
        });
        page
    }

    #[test]
    fn the_page_has_each_family_once_with_its_help_and_escaped_labels() {
        let registry = Registry::default();
        registry.describe_counter("b_total".into(), None, "What is\ncounted.".into());
        registry.describe_gauge("never".into(), None, "Nobody has one.".into());
        for result in ["ok", "a \"\\\n"] {
            let key = key("b_total", &[("result", result)]);
            registry.register_counter(&key, &METADATA).increment(2);
            registry.register_counter(&key, &METADATA).increment(1);
        }
        registry.register_gauge(&key("a", &[]), &METADATA).set(0.5);
        assert_eq!(
            page(&registry),
            "# HELP a \n# TYPE a gauge\na 0.5\n\
             # HELP b_total What is\\ncounted.\n# TYPE b_total counter\n\
             b_total{result=\"a \\\"\\\\\\n\"} 3\nb_total{result=\"ok\"} 3\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_a_bound_is_within_its_bucket() {
        let registry = Registry::default();
        let seconds = registry.register_histogram(&key("s", &[("a", "b")]), &METADATA);
        assert_eq!(page(&registry), "# HELP s \n# TYPE s histogram\n");
        for value in [0.001, 0.0011, 9000.0] {
            seconds.record(value);
        }
        let page = page(&registry);
        for line in [
            "s_bucket{a=\"b\",le=\"0.001\"} 1",
            "s_bucket{a=\"b\",le=\"0.002\"} 2",
            "s_bucket{a=\"b\",le=\"7200\"} 2",
            "s_bucket{a=\"b\",le=\"+Inf\"} 3",
            "s_sum{a=\"b\"} 9000.0021",
            "s_count{a=\"b\"} 3",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }

    #[test]
    fn what_belongs_to_a_deployment_goes_with_it_and_nothing_else() {
        let registry = Registry::default();
        let all = [
            ("chat", "stable"),
            ("chat", "canary"),
            ("chatter", "stable"),
        ];
        for (service, deployment) in all {
            let labels = [("service", service), ("deployment", deployment)];
            let gauge = key("workers", &labels);
            registry.register_gauge(&gauge, &METADATA).set(1);
        }
        drop(registry.register_counter(&key("reloads_total", &[]), &METADATA));
        registry.forget("chat", "stable");
        registry.forget("nobody", "stable");
        let left = page(&registry);
        assert!(!left.contains("{service=\"chat\",deployment=\"stable\"}"));
        assert_eq!(
            left.lines().filter(|line| !line.starts_with('#')).count(),
            3
        );
        // One of that name which comes back begins at zero.
        let again = key("workers", &[("service", "chat"), ("deployment", "stable")]);
        drop(registry.register_gauge(&again, &METADATA));
        assert!(page(&registry).contains("workers{service=\"chat\",deployment=\"stable\"} 0\n"));
    }

    #[test]
    fn a_reader_that_wants_no_more_ends_the_page() {
        let registry = Registry::default();
        for name in ["a", "b"] {
            drop(registry.register_gauge(&key(name, &[]), &METADATA));
        }
        let mut pieces = 0;
        let whole = registry.write(&mut |_| {
            pieces += 1;
            false
        });
        assert_eq!((pieces, whole), (1, false));
    }
}
