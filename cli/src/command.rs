//! One module for each command: its arguments and what it does.

pub mod check;
pub mod completions;
pub mod doctor;
pub mod explain;
pub mod image;
pub mod key;
pub mod man;
pub mod push;
pub mod render;
pub mod rules;
pub mod schema;
pub mod test;
pub mod usage;
pub mod verify;
