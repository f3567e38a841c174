//! What a peer's HTTP/2 settings say of how many streams it allows at once.

/// The setting's number (RFC 9113 §6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Bytes of a setting: number (2) and value (4).
const SETTING: usize = 6;

/// Reads the payloads of SETTINGS frames, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Settings {
    setting: [u8; SETTING],
    /// Bytes of `setting` that are known.
    known: usize,
    /// The value sent last.
    streams: Option<u32>,
    /// Whether a frame has ended since the last call of `take_streams_allowed`.
    has_news: bool,
}

impl Settings {
    /// Goes on with these bytes, which are the `last` ones of a frame or not.
    pub(super) fn read(&mut self, mut bytes: &[u8], last: bool) {
        while !bytes.is_empty() {
            let taken = (SETTING - self.known).min(bytes.len());
            self.setting[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == SETTING {
                self.known = 0;
                let [high, low, value @ ..] = self.setting;
                if u16::from_be_bytes([high, low]) == MAX_CONCURRENT_STREAMS {
                    self.streams = Some(u32::from_be_bytes(value));
                }
            }
        }
        if last {
            self.known = 0;
            self.has_news = true;
        }
    }

    /// How many streams the peer allows, if a SETTINGS frame has ended since the last call. A peer that
    /// never sent the setting allows any number.
    pub(super) fn take_streams_allowed(&mut self) -> Option<u32> {
        let has_news = std::mem::take(&mut self.has_news);
        has_news.then(|| self.streams.unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SETTINGS_INITIAL_WINDOW_SIZE`, then `SETTINGS_MAX_CONCURRENT_STREAMS`.
    const TWO_STREAMS: &[u8] = &[0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2];
    const NO_STREAMS: &[u8] = &[0, 3, 0, 0, 0, 0];

    #[test]
    fn the_last_word_on_streams_counts_however_it_is_cut() {
        for cut in 0..TWO_STREAMS.len() {
            let mut settings = Settings::default();
            assert_eq!(settings.take_streams_allowed(), None);
            settings.read(&TWO_STREAMS[..cut], false);
            assert_eq!(settings.take_streams_allowed(), None, "{cut}");
            settings.read(&TWO_STREAMS[cut..], true);
            assert_eq!(settings.take_streams_allowed(), Some(2), "{cut}");
            assert_eq!(settings.take_streams_allowed(), None);
            settings.read(&[], true);
            assert_eq!(settings.take_streams_allowed(), Some(2), "nothing new");
            settings.read(NO_STREAMS, true);
            assert_eq!(settings.take_streams_allowed(), Some(0));
        }
    }

    #[test]
    fn who_says_nothing_of_streams_allows_any_number() {
        let mut settings = Settings::default();
        settings.read(&TWO_STREAMS[..6], true);
        assert_eq!(settings.take_streams_allowed(), Some(u32::MAX));
    }

    #[test]
    fn half_a_setting_at_the_end_of_a_frame_says_nothing() {
        let mut settings = Settings::default();
        settings.read(&NO_STREAMS[..4], true);
        settings.read(TWO_STREAMS, true);
        assert_eq!(settings.take_streams_allowed(), Some(2));
    }
}
