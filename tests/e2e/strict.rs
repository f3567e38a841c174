//! What passes and what does not, byte for byte: the corpus of `tests/strict` through both engines that serve
//! HTTP/1.1.

mod case;
mod message;
mod origin;
mod run;
mod same;

use self::run::{Engine, Stage};

/// Plays a file of the corpus through an engine.
async fn play(corpus: &str, engine: Engine) {
    let stage = Stage::set().await;
    let mut wrong = Vec::new();
    for case in case::parse(corpus) {
        wrong.extend(stage.judge(engine, &case).await);
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

macro_rules! corpus {
    ($($name:ident: $file:literal;)*) => {$(
        mod $name {
            use super::{Engine, play};

            #[tokio::test]
            async fn pass_the_relay_as_the_corpus_says() {
                play(include_str!(concat!("../strict/", $file)), Engine::Relay).await;
            }

            #[tokio::test]
            async fn pass_hyper_as_the_corpus_says() {
                play(include_str!(concat!("../strict/", $file)), Engine::Hyper).await;
            }
        }
    )*};
}

corpus! {
    requests: "requests.txt";
    request_bodies: "request_bodies.txt";
    answers: "answers.txt";
}
