//! The options of List.
//!
//! Not the listing: that is in `run::list`.

use serde::{Deserialize, Serialize};

use super::{Sort, setting};
use crate::error::Result;
use crate::filter::NameFilter;

/// Says what is in a directory: one document per entry, directories included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct List {
    /// The directory; the connection's when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_directory: Option<String>,
    /// Which base names are shown: see [`NameFilter`]; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_filter: Option<String>,
    /// At most so many, after filter and sort; 0: all.
    pub max_files: usize,
    /// The order; `none` streams and holds no listing.
    pub sort: Sort,
    /// Whether names that begin with a dot are shown without being asked for.
    pub hidden: bool,
}

impl Default for List {
    fn default() -> Self {
        Self {
            remote_directory: None,
            file_filter: None,
            max_files: 0,
            sort: Sort::None,
            hidden: false,
        }
    }
}

impl List {
    /// Reports what cannot be carried out.
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(filter) = setting(self.file_filter.as_ref()) {
            NameFilter::parse(filter)?;
        }
        Ok(())
    }
}
