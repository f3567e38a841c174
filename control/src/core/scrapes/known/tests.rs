use std::path::Path;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Rules on the metrics `a` and `b` of pages that are read as these settings say.
fn known(page: &str) -> Known {
    let rule =
        |name| format!("{{ type = \"target_tracking\", metric = \"worker:{name}\", target = 1 }}");
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
         [services.chat.deployments.stable]
         process.shell = \"true\"
         metrics = {{ {page} }}
         scaling.rules = [{}, {}, {}]",
        rule("a"),
        rule("b"),
        rule("a")
    );
    let config = penstock_config::parse(&text, Path::new("test.toml")).unwrap();
    Known::new(ScrapeSpec::of(&config.services["chat"].deployments["stable"]).unwrap())
}

fn samples(a: f64, b: f64, grows: bool) -> Result<Vec<Option<Sample>>, String> {
    let sample = |value| Some(Sample { value, grows });
    Ok(vec![sample(a), sample(b)])
}

#[test]
fn a_value_counts_for_three_intervals_and_for_ten_seconds_at_least() {
    for (page, fresh_for) in [
        ("", seconds(15)),
        ("interval = \"1s\"", seconds(10)),
        ("interval = \"1m\"", seconds(180)),
    ] {
        let mut known = known(page);
        assert_eq!(known.fresh(0, seconds(100)), None);
        assert_eq!(known.take(samples(3.0, 4.0, false), seconds(100)), None);
        let last = seconds(100) + fresh_for;
        assert_eq!(known.fresh(0, last), Some((3.0, fresh_for)), "{page}");
        assert_eq!(known.fresh(1, last), Some((4.0, fresh_for)), "{page}");
        assert_eq!(known.fresh(0, last + seconds(1)), None, "{page}");
        // A failure takes nothing away before that.
        known.take(Err("x".to_owned()), last);
        assert_eq!(known.fresh(0, last), Some((3.0, fresh_for)));
        assert_eq!(known.fresh(2, last), None, "there are two metrics");
    }
}

#[test]
fn a_metric_that_is_not_on_the_page_is_a_failure_and_the_others_count() {
    let mut known = known("");
    let only_a = Ok(vec![
        Some(Sample {
            value: 1.0,
            grows: false,
        }),
        None,
    ]);
    let news = known.take(only_a, seconds(100));
    assert_eq!(
        news,
        Some(News::Failing("the page has no number for b".into()))
    );
    assert_eq!(known.fresh(0, seconds(100)), Some((1.0, Duration::ZERO)));
    assert_eq!(known.fresh(1, seconds(100)), None);
}

#[test]
fn of_a_counter_the_growth_per_second_counts_also_when_it_began_anew() {
    let mut known = known("");
    let mut rate = |at: u64, count: f64| {
        known.take(samples(count, count, true), seconds(at));
        known.fresh(0, seconds(at)).map(|(rate, _)| rate)
    };
    assert_eq!(rate(100, 1000.0), None, "nothing to compare with");
    assert_eq!(rate(105, 1050.0), Some(10.0));
    assert_eq!(rate(115, 1050.0), Some(0.0));
    assert_eq!(rate(120, 20.0), Some(4.0), "it fell: counted from zero");
    assert_eq!(rate(125, 45.0), Some(5.0));
    assert_eq!(rate(125, 99.0), Some(5.0), "too soon to say");
    assert_eq!(rate(130, 95.0), Some(10.0));
    assert_eq!(rate(200, 9000.0), None, "too long ago");
    assert_eq!(rate(202, 9002.0), Some(1.0));
}

#[test]
fn a_page_that_never_worked_is_told_at_once_and_only_once() {
    let mut known = known("");
    let failing = |text: &str| Some(News::Failing(text.into()));
    let failed = |text: &str| Err(text.to_owned());
    assert_eq!(known.take(failed("first"), seconds(1)), failing("first"));
    for at in 2..50 {
        assert_eq!(known.take(failed("next"), seconds(at)), None);
        assert_eq!(known.failure(), Some("next"));
    }
    let good = || samples(1.0, 1.0, false);
    assert_eq!(known.take(good(), seconds(50)), Some(News::Works));
    assert_eq!(known.failure(), None);
    assert_eq!(known.take(good(), seconds(51)), None);
    // Once it worked, one that is lost is no news.
    for at in [60, 61, 70, 71, 80, 81] {
        let result = if at % 10 == 0 { failed("lost") } else { good() };
        assert_eq!(known.take(result, seconds(at)), None);
    }
    assert_eq!(known.take(failed("a"), seconds(90)), None);
    assert_eq!(known.take(failed("b"), seconds(91)), None);
    assert_eq!(known.take(failed("c"), seconds(92)), failing("c"));
    assert_eq!(known.take(failed("d"), seconds(93)), None);
    assert_eq!(known.take(good(), seconds(94)), Some(News::Works));
}
