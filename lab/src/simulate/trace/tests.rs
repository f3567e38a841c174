use super::*;

fn read(text: &str) -> Result<Trace, TraceError> {
    Trace::read(text.as_bytes(), |_| {})
}

fn time(seconds: f64) -> Work {
    Work::Time(Duration::from_secs_f64(seconds))
}

#[test]
fn the_azure_format_is_read_with_its_times_relative_to_the_first() {
    let trace = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n\
         2023-11-16 18:15:46.6805900,374,44\n\
         2023-11-16 18:15:50.9951690,396,109\n",
    )
    .unwrap();
    let [first, second] = trace.arrivals() else {
        panic!("{trace:?}")
    };
    assert_eq!(first.at, Duration::ZERO);
    assert_eq!(second.at, Duration::from_nanos(4_314_579_000));
    let work = Work::Tokens {
        prompt: 396,
        generated: 109,
    };
    assert_eq!(second.work, work);
}

#[test]
fn two_columns_are_read_in_any_order_of_time() {
    let trace = read("timestamp,service_seconds\r\n10,0.5\r\n\r\n7.5, 2\r\n").unwrap();
    let arrivals: Vec<_> = trace
        .arrivals()
        .iter()
        .map(|arrival| (arrival.at.as_secs_f64(), arrival.work))
        .collect();
    assert_eq!(arrivals, [(0.0, time(2.0)), (2.5, time(0.5))]);
}

#[test]
fn a_line_of_the_access_log_tells_when_its_request_came_and_how_long_the_worker_had_it() {
    let trace = read(
        "{\"time\":\"2026-01-01T00:00:10.000Z\",\"worker\":0,\"queue_wait_ms\":1000.0,\"duration_ms\":4000.0}\n\
         {\"time\":\"2026-01-01T00:00:11.000Z\",\"worker\":null,\"queue_wait_ms\":null,\"duration_ms\":1.0}\n\
         {\"time\":\"2026-01-01T00:00:12.000Z\",\"worker\":1,\"queue_wait_ms\":null,\"duration_ms\":2000.0}\n",
    )
    .unwrap();
    let [first, second] = trace.arrivals() else {
        panic!("{trace:?}")
    };
    assert_eq!((first.at, first.work), (Duration::ZERO, time(3.0)));
    assert_eq!(
        (second.at, second.work),
        (Duration::from_secs(4), time(2.0))
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (text, expected) in [
        ("hello\n", "line 1 is neither"),
        ("", "holds no request"),
        ("timestamp,service_seconds\n", "holds no request"),
        (
            "timestamp,service_seconds\n1,2\n1\n",
            "line 3: must be a time",
        ),
        (
            "timestamp,service_seconds\n1,-2\n",
            "line 2: service_seconds",
        ),
        (
            "timestamp,service_seconds\n-1,2\n",
            "line 2: must be a time",
        ),
        (
            "timestamp,service_seconds\nNaN,2\n",
            "line 2: must be a time",
        ),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,-1,4\n",
            "line 2: must be a time and two counts",
        ),
        (
            "{\"time\":\"yesterday\"}\n",
            "line 1: must be a line of the access log",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn a_faster_trace_has_the_same_requests_in_less_time() {
    let trace = read("timestamp,service_seconds\n0,1\n60,1\n").unwrap();
    let faster = trace.faster(5.0);
    assert_eq!(faster.length(), Duration::from_secs(12));
    assert_eq!(faster.arrivals().len(), 2);
    assert_eq!(faster.arrivals()[1].work, time(1.0));
}
