use std::path::Path;

use proptest::prelude::*;

use super::*;

fn key() -> SecretKey {
    SecretKey([7; 32])
}

/// A deployment with this table `process` or `container`.
fn deployment(what: &str) -> Deployment {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.chat.deployments.stable]\n{what}"
    );
    let config = penstock_config::parse(&text, Path::new("/etc/test.toml")).unwrap();
    Deployment::clone(&config.services["chat"].deployments["stable"])
}

fn process(command: &str) -> Deployment {
    deployment(&format!("process = {{ command = [{command}] }}"))
}

fn follow(course: &mut Course, spec: &Deployment) -> Option<u64> {
    let digest = key().digest(&format!("{:?}", spec.source));
    let origin = Origin::of(Via::File);
    let new = course.follow(spec, &digest, &key(), &origin, 1000);
    new.map(|revision| revision.number)
}

/// What the second of two is said to differ in.
fn difference(before: &Deployment, after: &Deployment) -> Vec<String> {
    let mut course = Course::default();
    follow(&mut course, before);
    follow(&mut course, after);
    course.of_file().unwrap().difference.clone()
}

#[test]
fn every_change_is_a_revision_with_the_next_number_and_what_is_the_same_is_none() {
    let mut course = Course::default();
    let (one, two) = (process("\"a\""), process("\"b\""));
    assert_eq!(follow(&mut course, &one), Some(1));
    assert_eq!(follow(&mut course, &one), None);
    assert_eq!(follow(&mut course, &two), Some(2));
    assert_eq!(
        follow(&mut course, &one),
        Some(3),
        "a change back is one too"
    );
    let first = course.get(1).unwrap();
    assert_eq!(first.open(&key()), Some(one.source.clone()));
    assert_eq!(first.open(&SecretKey([8; 32])), None);
    // Workers of the first run what the third does.
    let digest = first.digest.clone();
    let text = course.text(&digest);
    assert_eq!(course.number_of(&text), Some(3));
    course.restart();
    let again = course.text(&digest);
    assert_ne!(again, text);
    assert_eq!(course.number_of(&again), Some(3));
}

#[test]
fn a_new_revision_takes_the_place_of_one_that_was_switched_to() {
    let mut course = Course::default();
    follow(&mut course, &process("\"a\""));
    follow(&mut course, &process("\"b\""));
    course.switched = Some(Switched {
        number: 1,
        change: Change::default(),
    });
    assert_eq!(course.in_force().map(|known| known.number), Some(1));
    assert_eq!(follow(&mut course, &process("\"b\"")), None);
    assert_eq!(
        course.in_force().map(|known| known.number),
        Some(1),
        "the file says nothing new"
    );
    follow(&mut course, &process("\"c\""));
    assert_eq!(course.in_force().map(|known| known.number), Some(3));
    assert_eq!(course.switched, None);
}

#[test]
fn what_differs_is_named_and_no_value_of_an_argument_or_of_the_environment_is() {
    let before = process("\"serve\", \"--model\", \"s3cret-a\", \"--old\", \"positional\"");
    let after = deployment(
        "process = { command = [\"serve2\", \"--model=s3cret-b\", \"--new\"], gpus = 0, \
         env = { TOKEN = \"s3cret-c\" }, directory = \"/srv\" }",
    );
    let said = difference(&before, &after);
    assert_eq!(
        said,
        [
            "command: serve → serve2",
            "command: --model changed",
            "command: --new added",
            "command: --old removed",
            "directory: /etc → /srv",
            "env.TOKEN added",
        ]
    );
    let gpus =
        |gpus: &str| deployment(&format!("process = {{ command = [\"a\"], gpus = {gpus} }}"));
    assert_eq!(
        difference(&gpus("0"), &gpus("2")),
        ["gpus: 0 GPUs → 2 GPUs"]
    );
    let shell = deployment("process = { shell = \"exec s3cret-d\" }");
    let other = deployment("process = { shell = \"exec s3cret-e\" }");
    assert_eq!(difference(&shell, &other), ["shell changed"]);
    assert_eq!(difference(&before, &shell)[0], "command → shell");
    let image = |rest: &str| deployment(&format!("container = {{ image = \"x:1\"{rest} }}"));
    let said = difference(
        &image(""),
        &deployment(
            "container = { image = \"x:2\", memory = \"1GiB\", env = { A = \"s3cret\" }, volumes = [\"/a:/b\"] }",
        ),
    );
    assert_eq!(
        said,
        [
            "image: x:1 → x:2",
            "env.A added",
            "memory: none → 1073741824",
            "volumes changed"
        ]
    );
    assert_eq!(difference(&before, &image("")), ["process → container"]);
    assert_eq!(
        difference(
            &process("\"a\", \"b\", \"c\""),
            &process("\"a\", \"c\", \"b\"")
        ),
        ["command: arguments changed"]
    );
}

#[test]
fn a_revision_that_cannot_be_read_is_said_and_followed_all_the_same() {
    let mut course = Course::default();
    follow(&mut course, &process("\"a\""));
    let other = SecretKey([9; 32]);
    let spec = process("\"b\"");
    let new = course.follow(&spec, "b", &other, &Origin::of(Via::Start), 5);
    assert_eq!(
        new.unwrap().difference,
        ["what revision it follows cannot be read"]
    );
}

proptest! {
    /// However many there are: a bounded number is kept, with that in force and that of the file, and
    /// what is kept comes back from JSON as it was.
    #[test]
    fn the_number_of_revisions_is_bounded(
        steps in prop::collection::vec((0_u32..40, prop::option::of(0_usize..25)), 1..120)
    ) {
        let mut course = Course::default();
        for (command, switch) in steps {
            follow(&mut course, &process(&format!("\"serve\", \"{command}\"")));
            let numbers: Vec<u64> = course.revisions().map(|known| known.number).collect();
            if let Some(place) = switch {
                let number = numbers[place % numbers.len()];
                course.switched = Some(Switched { number, change: Change::default() });
            }
            prop_assert!(numbers.len() <= REVISIONS_MAX + 2);
            prop_assert!(numbers.is_sorted());
            let in_force = course.in_force().unwrap();
            prop_assert!(in_force.open(&key()).is_some());
            if let Some(switched) = &course.switched {
                prop_assert_eq!(switched.number, in_force.number);
            }
        }
        let text = serde_json::to_string(&course).unwrap();
        prop_assert_eq!(serde_json::from_str::<Course>(&text).unwrap(), course);
    }
}
