//! Which files are meant: by patterns on their names, and by expressions on what is known of them.
//!
//! Not which are there: nothing here looks at a directory, a server or a clock.

mod expression;
mod name;

pub use expression::Expression;
pub(crate) use expression::Known;
pub use name::{DotRule, NameFilter};
