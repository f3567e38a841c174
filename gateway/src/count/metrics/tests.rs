use super::*;

fn metrics() -> DeploymentMetrics {
    DeploymentMetrics::new(&"chat".try_into().unwrap(), &"stable".try_into().unwrap())
}

fn settled(status: u16) -> Settled {
    Settled {
        status,
        reason: None,
        duration: Duration::from_millis(40),
        first_byte: None,
        queue_wait: None,
    }
}

/// A page with what `fill` adds.
fn written(fill: impl Fn(&mut Page)) -> String {
    let mut text = String::new();
    let mut take = |piece: String| {
        text += &piece;
        true
    };
    assert!(Page::write(1, |page, _| fill(page), &mut take));
    text
}

fn page(metrics: &DeploymentMetrics) -> String {
    written(|page| {
        page.add_connections(3);
        page.add(metrics, 7, 90, [(0, 1), (1, 0)].into_iter());
    })
}

/// The sample lines that mention `part`.
fn lines<'a>(page: &'a str, part: &str) -> Vec<&'a str> {
    page.lines()
        .filter(|line| !line.starts_with('#') && line.contains(part))
        .collect()
}

#[test]
fn the_page_shows_what_is_there_now_and_nothing_that_never_was() {
    let page = page(&metrics());
    assert_eq!(
        lines(&page, ""),
        [
            r#"penstock_in_flight{service="chat",deployment="stable",worker="0"} 1"#,
            r#"penstock_in_flight{service="chat",deployment="stable",worker="1"} 0"#,
            r#"penstock_queued{service="chat",deployment="stable"} 7"#,
            r#"penstock_deployment_weight{service="chat",deployment="stable"} 90"#,
            "penstock_connections 3",
        ]
    );
}

#[test]
fn copies_are_shown_once_there_was_one() {
    let (metrics, copies) = (metrics(), MirrorMetrics::default());
    let text = |in_flight| written(|page| page.add_copies(&metrics, &copies, in_flight, 17));
    assert!(lines(&text(0), "mirror").is_empty());
    let seen = |status, bytes| Seen {
        status,
        grpc_status: None,
        first_byte: Some(Duration::from_millis(3)),
        bytes,
    };
    for _ in 0..2 {
        copies.sent();
    }
    copies.ended(Ok(true));
    copies.ended(Ok(false));
    copies.ended(Err(Dropped::Behind));
    copies.compared(&seen(200, 5), &seen(204, 7));
    copies.compared(&seen(200, 5), &seen(500, 7));
    let page = text(1);
    let has = |line: &str| assert!(page.contains(line), "{line}\n{page}");
    let labels = r#"service="chat",deployment="stable""#;
    has(&format!("penstock_mirror_sent_total{{{labels}}} 2\n"));
    for (result, count) in [("ok", 1), ("failed", 1), ("dropped", 1)] {
        has(&format!(
            "penstock_mirror_requests_total{{{labels},result=\"{result}\"}} {count}\n"
        ));
    }
    for (reason, count) in [("behind", 1), ("timeout", 0)] {
        has(&format!(
            "penstock_mirror_dropped_total{{{labels},reason=\"{reason}\"}} {count}\n"
        ));
    }
    has(&format!("penstock_mirror_in_flight{{{labels}}} 1\n"));
    has(&format!("penstock_mirror_buffered_bytes{{{labels}}} 17\n"));
    for (status, count) in [("same", 1), ("different", 1)] {
        has(&format!(
            "penstock_mirror_comparison_status_total{{{labels},status=\"{status}\"}} {count}\n"
        ));
    }
    for (of, bytes) in [("original", 10), ("copy", 14)] {
        let labels = format!("{labels},of=\"{of}\"");
        has(&format!(
            "penstock_mirror_comparison_bytes_total{{{labels}}} {bytes}\n"
        ));
        has(&format!(
            "penstock_mirror_comparison_first_byte_seconds_count{{{labels}}} 2\n"
        ));
    }
}

#[test]
fn requests_are_counted_by_status_and_the_gateways_own_answers_by_reason() {
    let metrics = metrics();
    metrics.request(&settled(200));
    metrics.request(&settled(200));
    metrics.request(&Settled {
        reason: Some(Reason::QueueFull),
        ..settled(429)
    });
    let page = page(&metrics);
    assert_eq!(
        lines(&page, "_total"),
        [
            r#"penstock_requests_total{service="chat",deployment="stable",code="200"} 2"#,
            r#"penstock_requests_total{service="chat",deployment="stable",code="429"} 1"#,
            r#"penstock_gateway_answers_total{service="chat",deployment="stable",reason="queue_full"} 1"#,
        ]
    );
}

#[test]
fn requests_without_a_deployment_have_empty_labels() {
    let unrouted = DeploymentMetrics::unrouted();
    unrouted.request(&Settled {
        reason: Some(Reason::NoRoute),
        ..settled(404)
    });
    let page = written(|page| page.add_unrouted(&unrouted));
    assert_eq!(
        lines(&page, "code="),
        [r#"penstock_requests_total{service="",deployment="",code="404"} 1"#]
    );
    assert!(lines(&page, "queued").is_empty());
}

#[test]
fn histograms_are_cumulative_and_count_only_what_happened() {
    let metrics = metrics();
    for (millis, wait) in [(1, None), (40, Some(2_000)), (900_000, Some(2_001))] {
        let queue_wait = wait.map(Duration::from_millis);
        metrics.request(&Settled {
            duration: Duration::from_millis(millis),
            queue_wait,
            ..settled(200)
        });
    }
    let page = page(&metrics);
    let value = |part: &str| {
        let lines = lines(&page, part);
        assert_eq!(lines.len(), 1, "{part}");
        lines[0].rsplit(' ').next().unwrap()
    };
    let bucket = |le| {
        format!(
            r#"request_duration_seconds_bucket{{service="chat",deployment="stable",le="{le}"}}"#
        )
    };
    assert_eq!(value(&bucket("0.001")), "1");
    assert_eq!(value(&bucket("0.025")), "1");
    assert_eq!(value(&bucket("0.05")), "2");
    assert_eq!(value(&bucket("600")), "2");
    assert_eq!(value(&bucket("+Inf")), "3");
    assert_eq!(value("request_duration_seconds_count"), "3");
    assert_eq!(value("request_duration_seconds_sum"), "900.041");
    assert_eq!(value("queue_wait_seconds_count"), "2");
    assert_eq!(value("queue_wait_seconds_sum"), "4.001");
    assert!(lines(&page, "time_to_first_byte").is_empty());
}

#[test]
fn every_sample_stands_under_the_type_of_its_metric() {
    let metrics = metrics();
    metrics.request(&Settled {
        first_byte: Some(Duration::ZERO),
        ..settled(200)
    });
    let mut current = String::new();
    for line in page(&metrics).lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            declared.split(' ').next().unwrap().clone_into(&mut current);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line} under {current}");
        }
    }
}

#[test]
fn all_lines_of_a_metric_stand_together_and_come_in_pieces() {
    let metrics = metrics();
    let fill = |page: &mut Page, part| page.add(&metrics, part, 1, std::iter::empty());
    let mut pieces = Vec::new();
    let whole = Page::write(3, fill, &mut |piece| {
        pieces.push(piece);
        true
    });
    assert!(whole);
    let queued = pieces
        .iter()
        .position(|piece| piece.contains("penstock_queued{"));
    let queued = &pieces[queued.unwrap()..][..3];
    assert!(queued[0].starts_with("# HELP penstock_queued "));
    for (part, piece) in queued.iter().enumerate() {
        let values: Vec<_> = lines(piece, "").into_iter().collect();
        let line = format!("penstock_queued{{service=\"chat\",deployment=\"stable\"}} {part}");
        assert_eq!(values, [line]);
    }
    // Whoever wants no more gets no more.
    let mut taken = 0;
    let whole = Page::write(3, fill, &mut |_| {
        taken += 1;
        taken < 2
    });
    assert_eq!((whole, taken), (false, 2));
}

#[test]
fn counts_of_all_threads_add_up() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| metrics.request(&settled(200))));
        }
    });
    assert!(page(&metrics).contains(r#"code="200"} 4000"#));
}

#[test]
fn a_time_histogram_counts_into_the_buckets_that_the_report_defines() {
    let histogram = AtomicTimeHistogram::default();
    for millis in [0, 1, 3, 3, u64::MAX] {
        histogram.record(Duration::from_millis(millis));
    }
    let counts = histogram.snapshot().counts;
    assert_eq!(counts[..4], [1, 1, 2, 0]);
    assert_eq!(counts[TimeHistogram::BUCKETS - 1], 1);
    assert_eq!(counts.iter().sum::<u64>(), 5);
}
