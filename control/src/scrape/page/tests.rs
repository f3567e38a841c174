use super::*;

fn metrics(names: &[&str]) -> Vec<Arc<WorkerMetric>> {
    let metric = |name: &&str| Arc::new(WorkerMetric::parse(name).unwrap());
    names.iter().map(metric).collect()
}

fn read(page: &str, names: &[&str]) -> Result<Vec<Option<Sample>>, String> {
    let wanted = metrics(names);
    let mut reader = Reader::new(&wanted);
    reader.feed(page.as_bytes())?;
    reader.finish()
}

fn gauge(value: f64) -> Option<Sample> {
    Some(Sample {
        value,
        grows: false,
    })
}

fn counter(value: f64) -> Option<Sample> {
    Some(Sample { value, grows: true })
}

const VLLM: &str = "\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"llama {70B}, \\\"chat\\\"\"} 31.0
vllm:num_requests_running{engine=\"1\",model_name=\"llama {70B}, \\\"chat\\\"\"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"other\"} 7.0 1395066363000
vllm:num_requests_waiting_by_reason{engine=\"0\"} 100
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine=\"0\"} 1.5e+06
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{le=\"0.3\"} 4.0
vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} 9.0
vllm:e2e_request_latency_seconds_count 9.0
vllm:e2e_request_latency_seconds_sum 12.5
";

#[test]
fn samples_of_one_name_are_summed_and_labels_choose_among_them() {
    let names = [
        "vllm:num_requests_running",
        "vllm:num_requests_running{engine=\"1\"}",
        "vllm:num_requests_running{model_name=\"llama {70B}, \\\"chat\\\"\",engine=\"0\"}",
        "vllm:num_requests_running{engine=\"2\"}",
        "vllm:num_requests_waiting",
        "vllm:num_requests",
    ];
    let expected = [gauge(33.0), gauge(2.0), gauge(31.0), None, gauge(7.0), None];
    assert_eq!(read(VLLM, &names).as_deref(), Ok(&expected[..]));
}

#[test]
fn what_only_grows_is_told_by_its_type_or_else_by_its_name() {
    let names = [
        "vllm:prompt_tokens_total",
        "vllm:e2e_request_latency_seconds_sum",
        "vllm:e2e_request_latency_seconds_count",
        "vllm:e2e_request_latency_seconds_bucket{le=\"0.3\"}",
    ];
    let expected = [counter(1.5e6), counter(12.5), counter(9.0), counter(4.0)];
    assert_eq!(read(VLLM, &names).as_deref(), Ok(&expected[..]));
    let open_metrics = "# TYPE a counter\na_total 3 # {trace_id=\"x\"} 1 1e9\na_created 5\n# EOF\n";
    let expected = [counter(3.0), gauge(5.0)];
    let found = read(open_metrics, &["a_total", "a_created"]);
    assert_eq!(found.as_deref(), Ok(&expected[..]));
    let untyped = "a_total 3\nb_total 4\n# TYPE b_total gauge\nc_sum 5\n";
    let expected = [counter(3.0), gauge(4.0), gauge(5.0)];
    let found = read(untyped, &["a_total", "b_total", "c_sum"]);
    assert_eq!(found.as_deref(), Ok(&expected[..]));
    let summary = "# TYPE d summary\nd{quantile=\"0.5\"} 0.2\nd_sum 9\n";
    let found = read(summary, &["d{quantile=\"0.5\"}", "d_sum"]);
    assert_eq!(found.as_deref(), Ok(&[gauge(0.2), counter(9.0)][..]));
}

#[test]
fn values_that_are_no_numbers_are_not_counted() {
    let page = "a{i=\"1\"} NaN\na{i=\"2\"} 2\na{i=\"3\"} +Inf\na{i=\"4\"} 1e300\nb -Inf\n";
    assert_eq!(read(page, &["a", "b"]), Ok(vec![gauge(2.0), None]));
}

#[test]
fn windows_line_ends_tabs_and_empty_lines_do_no_harm() {
    let page = "\r\n# TYPE a gauge\r\n\r\n\ta\t{ i = \"1\" , }\t2\r\na 3\r\n";
    assert_eq!(read(page, &["a"]), Ok(vec![gauge(5.0)]));
}

#[test]
fn a_page_that_makes_no_sense_or_is_cut_says_nothing_at_all() {
    for (page, complaint) in [
        (
            "a 1\na{i=\"2} 3\n",
            "line 2 of the page makes no sense: \"a{i=\\\"2} 3\"",
        ),
        ("a\n", "line 1 of the page makes no sense"),
        ("a one\n", "line 1 of the page makes no sense"),
        ("a 1\nb 12", "ends in the middle of a line"),
    ] {
        let error = read(page, &["a"]).unwrap_err();
        assert!(error.contains(complaint), "{page:?}: {error}");
    }
    // Of what nobody wants, nothing is expected.
    assert_eq!(read("<html>\nb{\nb\n", &["a"]), Ok(vec![None]));
    assert_eq!(read("", &["a"]), Ok(vec![None]));
    assert_eq!(read("a 1\n \r", &["a"]), Ok(vec![gauge(1.0)]));
}

#[test]
fn a_page_of_five_megabytes_and_a_line_without_end_are_refused_early() {
    let wanted = metrics(&["a"]);
    let mut reader = Reader::new(&wanted);
    let piece = "b 1\n".repeat(1 << 14);
    let refused = (0..80).find_map(|_| reader.feed(piece.as_bytes()).err());
    assert_eq!(refused.as_deref(), Some("the page is longer than 4 MiB"));
    let mut reader = Reader::new(&wanted);
    let refused = (0..80).find_map(|_| reader.feed(&[b'x'; 1024]).err());
    assert_eq!(
        refused.as_deref(),
        Some("line 1 of the page is longer than 64 KiB")
    );
    assert!(reader.begun.capacity() <= 2 * LINE_BYTES_MAX);
}

#[test]
fn it_does_not_matter_how_a_page_is_cut_into_pieces() {
    let names = ["vllm:num_requests_running", "vllm:num_requests_waiting"];
    let wanted = metrics(&names);
    let whole = read(VLLM, &names);
    for size in 1..200 {
        let mut reader = Reader::new(&wanted);
        for piece in VLLM.as_bytes().chunks(size) {
            reader.feed(piece).unwrap();
        }
        assert_eq!(reader.finish(), whole, "pieces of {size}");
    }
}

mod any {
    use proptest::prelude::*;

    use super::*;

    /// What samples are made of, so that much of it is nearly one.
    fn scraps() -> impl Strategy<Value = Vec<u8>> {
        let scraps = vec![
            "a",
            "b",
            "{",
            "}",
            "=",
            "\"",
            "\\",
            ",",
            " ",
            "\n",
            "\r",
            "\t",
            "#",
            "# TYPE a counter",
            "1",
            "-2.5",
            "NaN",
            "i",
            "\\n",
            "_total",
            "ü",
            ":",
        ];
        let scrap = prop_oneof![
            9 => prop::sample::select(scraps).prop_map(|scrap| scrap.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(scrap, 0..200).prop_map(|scraps| scraps.concat())
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_no_cut_changes_what_is_read(
            page in scraps(),
            cuts in prop::collection::vec(1..50_usize, 1..20),
        ) {
            let wanted = metrics(&["a", "a{i=\"1\"}", "b_total"]);
            let read = |pieces: &[&[u8]]| {
                let mut reader = Reader::new(&wanted);
                pieces.iter().try_for_each(|piece| reader.feed(piece))?;
                reader.finish()
            };
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = &page[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let whole = read(&[&page]);
            prop_assert_eq!(&read(&pieces), &whole);
            for sample in whole.into_iter().flatten().flatten() {
                prop_assert!(sample.value.is_finite());
            }
        }

        #[test]
        fn labels_that_are_written_as_they_should_be_are_found_again(
            value in "[ -~ü\n]{0,20}",
            number in -1e6..1e6_f64,
        ) {
            let metric = WorkerMetric {
                name: "a".to_owned(),
                labels: vec![("i".to_owned(), value)],
            };
            // Penstock writes labels as Prometheus does.
            let page = format!("a{{i=\"other\",j=\"}}\"}} 1\n{metric} {number}\n");
            let expected = if metric.labels[0].1 == "other" { 1.0 + number } else { number };
            let wanted = [Arc::new(metric)];
            let mut reader = Reader::new(&wanted);
            reader.feed(page.as_bytes()).unwrap();
            prop_assert_eq!(reader.finish().unwrap()[0].unwrap().value, expected);
        }
    }
}
