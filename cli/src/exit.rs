//! How a command ends.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// What a command tells the shell. Wrong usage is 2, too, and clap's to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The explained request is refused: 2.
    Denied,
    /// All is well, or the explained request is let through: 0.
    Fine,
    /// The command could not do its work, or a case failed: 1.
    Failed,
    /// The command was called in a way that it does not know: 2.
    Usage,
    /// The policy has findings, or is not what a document says: 3.
    Findings,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Denied | Exit::Usage => 2,
            Exit::Findings => 3,
        })
    }
}

/// The command was called in a way that it does not know, which ends it with [`Exit::Usage`].
#[derive(Debug)]
pub(crate) struct Usage {
    /// What is wrong, in one line.
    pub(crate) message: String,
    /// What could be meant, in lines of their own; may be empty.
    pub(crate) help: String,
}

impl Usage {
    /// One with nothing more to say.
    pub(crate) fn new(message: impl Into<String>) -> Usage {
        Usage { message: message.into(), help: String::new() }
    }
}

impl Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
