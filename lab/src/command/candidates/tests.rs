use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SimulateArgs,
}

/// What comes of comparing the other systems with deployments of these bounds: `min`, `max` and
/// `max_concurrency`.
fn compared(all_bounds: &[(u32, u32, u32)]) -> anyhow::Result<Vec<Candidate>> {
    let dir = tempfile::tempdir()?;
    let mut line = vec![
        "simulate".to_owned(),
        "trace".to_owned(),
        "--references".to_owned(),
    ];
    line.push("--compare".to_owned());
    for (number, (min, max, max_concurrency)) in all_bounds.iter().enumerate() {
        let path = dir.path().join(format!("number-{number}.toml"));
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.s]\nqueue.max_wait = \"42s\"\n\
             [services.s.deployments.d]\nprocess.shell = \"true\"\nmax_concurrency = {max_concurrency}\n\
             scaling = {{ min = {min}, max = {max} }}\n"
        );
        std::fs::write(&path, text)?;
        line.push(path.display().to_string());
    }
    all(&Line::try_parse_from(line)?.args)
}

#[test]
fn the_other_systems_have_the_bounds_of_what_they_are_compared_with_and_no_features_of_ours() {
    let candidates = compared(&[(2, 7, 3), (2, 7, 3)]).expect("they are alike");
    let (ours, others) = candidates.split_at(2);
    assert!(ours.iter().all(|one| one.ramp && one.sheds_early));
    assert_eq!(others.len(), REFERENCES.len());
    for other in others {
        assert_eq!((other.max_workers, other.max_concurrency), (7, 3));
        assert_eq!(other.scaler().begins_with(), 2);
        assert_eq!(other.max_wait, Duration::from_secs(42));
        assert!(!other.ramp && !other.sheds_early);
    }
}

#[test]
fn deployments_with_different_bounds_are_not_compared_with_others() {
    let refused = compared(&[(0, 7, 3), (0, 9, 3)])
        .err()
        .expect("they differ");
    let text = refused.to_string();
    assert!(
        text.contains("Penstock, number-0 has 0 to 7 workers of 3"),
        "{text}"
    );
    assert!(
        text.contains("Penstock, number-1 has 0 to 9 workers of 3"),
        "{text}"
    );
}
