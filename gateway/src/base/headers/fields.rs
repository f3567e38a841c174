//! Header fields as those see them who only look: whatever they are kept in.

use http::HeaderMap;

/// Header fields, or trailers.
pub(crate) trait Fields {
    /// The values of all lines of a field, in their order; the name in lower case.
    fn all<'f, 'n>(
        &'f self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'f [u8]> + use<'f, 'n, Self>;

    /// The value of the first line of a field.
    fn first<'f>(&'f self, name: &str) -> Option<&'f [u8]> {
        self.all(name).next()
    }

    /// Whether there is such a field.
    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

impl Fields for HeaderMap {
    fn all<'f, 'n>(
        &'f self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'f [u8]> + use<'f, 'n> {
        self.get_all(name).iter().map(|value| value.as_bytes())
    }
}
