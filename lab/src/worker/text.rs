//! The text that the pretended model gives: sentences about the words of the prompt, the same for
//! the same prompt.

/// Words of the prompt that an answer speaks about.
const TOPICS_MAX: usize = 16;
/// Characters of a prompt's word that are repeated.
const TOPIC_CHARS_MAX: usize = 40;
/// Sentences of an answer that ends by itself.
const SENTENCES: usize = 3;

/// `{}` stands for a word of the prompt.
const SENTENCES_ABOUT: [&str; 6] = [
    "You asked about {} and I am glad to help.",
    "Most people who think of {} forget how simple it is.",
    "In short, {} works because every part does one thing.",
    "As for {} there is more than one good answer.",
    "Take {} for example, and the rest follows by itself.",
    "That is all I know about {} for now.",
];

/// How long an answer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// Most tokens.
    pub(super) max_tokens: u64,
    /// Whether it goes on until `max_tokens` instead of ending by itself.
    pub(super) ignore_end: bool,
}

/// Tokens of a text: its words.
pub(super) fn count_tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): enough to make something differ by the prompt.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The words of an answer, made as they are asked for.
pub(super) struct Words {
    topics: Vec<String>,
    seed: usize,
    sentence: usize,
    rest: Vec<String>,
    given: u64,
    length: Length,
}

impl Words {
    pub(super) fn new(prompt: &str, length: Length) -> Self {
        let mut topics: Vec<String> = prompt
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().count() > 3)
            .take(TOPICS_MAX)
            .map(|word| word.chars().take(TOPIC_CHARS_MAX).collect())
            .collect();
        if topics.is_empty() {
            topics.push("this".to_owned());
        }
        let seed = (hash(prompt) % SENTENCES_ABOUT.len() as u64) as usize;
        Self {
            topics,
            seed,
            sentence: 0,
            rest: Vec::new(),
            given: 0,
            length,
        }
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    pub(super) fn finish_reason(&self) -> &'static str {
        if self.given == self.length.max_tokens {
            "length"
        } else {
            "stop"
        }
    }

    fn begin_sentence(&mut self) {
        let about = SENTENCES_ABOUT[(self.seed + self.sentence) % SENTENCES_ABOUT.len()];
        let topic = &self.topics[self.sentence % self.topics.len()];
        self.rest = about
            .split(' ')
            .rev()
            .map(|word| word.replace("{}", topic))
            .collect();
        self.sentence += 1;
    }
}

impl Iterator for Words {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.given == self.length.max_tokens {
            return None;
        }
        if self.rest.is_empty() {
            if self.sentence == SENTENCES && !self.length.ignore_end {
                return None;
            }
            self.begin_sentence();
        }
        let word = self.rest.pop()?;
        let separator = if self.given == 0 { "" } else { " " };
        self.given += 1;
        Some(format!("{separator}{word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(prompt: &str, max_tokens: u64, ignore_end: bool) -> (String, &'static str) {
        let mut words = Words::new(
            prompt,
            Length {
                max_tokens,
                ignore_end,
            },
        );
        let text = words.by_ref().collect();
        (text, words.finish_reason())
    }

    #[test]
    fn the_same_prompt_gives_the_same_answer_about_its_words() {
        let (text, reason) = answer("Tell me about turbines", 1000, false);
        assert_eq!(answer("Tell me about turbines", 1000, false).0, text);
        assert!(text.contains("turbines"), "{text}");
        assert_eq!(reason, "stop");
    }

    #[test]
    fn an_answer_ends_at_the_limit_of_tokens() {
        let (text, reason) = answer("hello", 5, false);
        assert_eq!((count_tokens(&text), reason), (5, "length"));
        assert_eq!(count_tokens(&answer("hello", 5000, true).0), 5000);
        assert_eq!(answer("hello", 0, false).0, "");
    }

    #[test]
    fn a_prompt_of_any_form_is_answered() {
        for prompt in ["", " ", "…!?", "日本語のテキスト", &"x".repeat(100_000)] {
            assert!(count_tokens(&answer(prompt, 1000, false).0) > 10);
        }
    }
}
