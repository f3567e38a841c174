//! A body that names a model, in whichever of the two forms it has.

use std::sync::Arc;

use super::{
    edit::Edit,
    form::{self, Form},
    rules::Rules,
    scan::{Fault, Scan},
};

/// What is known of a body of which the model is looked for.
#[derive(Debug)]
pub(crate) enum Found {
    Json(Scan),
    Form(Box<[u8]>, Form),
}

/// How a body passes whose model is known.
#[derive(Debug)]
pub(crate) enum Passing {
    /// As it came, and watched.
    Json(Scan),
    Form(Form),
    /// Changed.
    Edited(Edit),
    EditedForm(Form),
}

impl Found {
    /// A body of this content type; a form only where there may be one.
    pub(crate) fn of(content_type: Option<&[u8]>, may_be_form: bool) -> Result<Self, Fault> {
        let boundary = content_type
            .filter(|_| may_be_form)
            .and_then(form::boundary_of);
        Ok(match boundary.transpose()? {
            Some(boundary) => Self::Form(boundary.into(), Form::new(boundary, None)),
            None => Self::Json(Scan::default()),
        })
    }

    /// Looks at the next piece.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Json(scan) => scan.feed(bytes),
            Self::Form(_, form) => form.feed(bytes, &mut Vec::new()),
        }
    }

    /// The model, once it has come.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Json(scan) => scan.model(),
            Self::Form(_, form) => form.model(),
        }
    }

    /// Whether it asks for a stream of events, as far as it has come.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Json(scan) => scan.streams(),
            Self::Form(..) => false,
        }
    }

    /// Whether it says what a stream is to tell, as far as it has come.
    pub(crate) fn has_options(&self) -> bool {
        match self {
            Self::Json(scan) => scan.has_options(),
            Self::Form(..) => true,
        }
    }

    /// Whether all that counts of it has come.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Json(scan) => scan.is_done(),
            Self::Form(_, form) => form.is_done(),
        }
    }

    /// How the body passes, from its beginning where it is changed, else from where it is; `None`: nothing
    /// more is to be seen to.
    pub(crate) fn passing(self, rules: &Arc<Rules>) -> Option<Passing> {
        match (self, rules.is_plain) {
            (Self::Json(scan), true) => (!scan.is_done()).then_some(Passing::Json(scan)),
            (Self::Form(_, form), true) => (!form.is_done()).then_some(Passing::Form(form)),
            (Self::Json(_), false) => Some(Passing::Edited(Edit::by(Arc::clone(rules)))),
            (Self::Form(boundary, _), false) => {
                let form = Form::new(&boundary, Some(Arc::clone(rules)));
                Some(Passing::EditedForm(form))
            }
        }
    }
}

impl Passing {
    /// One that gives the body the model that the path names, whatever it says itself.
    pub(crate) fn named_by_path(
        content_type: Option<&[u8]>,
        rules: &Arc<Rules>,
    ) -> Result<Self, Fault> {
        let boundary = content_type.and_then(form::boundary_of).transpose()?;
        Ok(match boundary {
            Some(boundary) => Self::EditedForm(Form::new(boundary, Some(Arc::clone(rules)))),
            None => Self::Edited(Edit::by(Arc::clone(rules))),
        })
    }

    /// One for a JSON body whose worker takes the model from the path.
    pub(crate) fn named_in_path(rules: &Arc<Rules>) -> Self {
        Self::Edited(Edit::of_parameters(Arc::clone(rules)))
    }

    /// Whether the body becomes another one.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Edited(_) | Self::EditedForm(_))
    }

    /// Whether all of it has come.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Json(scan) => scan.is_done(),
            Self::Edited(edit) => edit.is_done(),
            Self::Form(form) | Self::EditedForm(form) => form.is_done(),
        }
    }

    /// Looks at the next piece, and writes what becomes of it where it is changed.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Json(scan) => scan.feed(bytes),
            Self::Edited(edit) => edit.feed(bytes, out),
            Self::Form(form) | Self::EditedForm(form) => form.feed(bytes, out),
        }
    }
}
