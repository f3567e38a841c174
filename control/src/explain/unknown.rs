//! Names that lead to nothing.

/// Names listed when one is asked for that is not there.
const NAMED_MAX: usize = 20;

/// What was asked about does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such service.
    #[error("there is no service {name}; {}", those(there_are))]
    Service {
        /// What was asked for.
        name: String,
        /// The services.
        there_are: Vec<String>,
    },
    /// No such deployment.
    #[error("{service} has no deployment {name}; {}", those(there_are))]
    Deployment {
        /// The service.
        service: String,
        /// What was asked for.
        name: String,
        /// Its deployments.
        there_are: Vec<String>,
    },
}

fn those(there_are: &[String]) -> String {
    match there_are.len() {
        0 => "there are none".to_owned(),
        count if count > NAMED_MAX => format!("there are {count} others"),
        _ => format!("there are: {}", there_are.join(", ")),
    }
}
