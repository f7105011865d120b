//! The options of List.
//!
//! Not the listing: that is in `run::list`.

use serde::{Deserialize, Serialize};

use super::get::depth;
use super::{Sort, Symlinks, setting};
use crate::error::Result;
use crate::filter::{Expression, NameFilter};

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
    /// Which entries are shown by name, size, times and kind: see [`Expression`]; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expression>,
    /// At most so many, after filter and sort; 0: all.
    pub max_files: usize,
    /// The order; `none` streams and holds no listing.
    pub sort: Sort,
    /// Whether names that begin with a dot are shown without being asked for.
    pub hidden: bool,
    /// Whether what is in directories below is shown too. Filters say what is shown, not which
    /// directories are looked into; one whose name begins with a dot is looked into with `hidden`.
    pub recursive: bool,
    /// How many directories down `recursive` goes, 1 to 100; 0: as many as there are, up to 100.
    pub max_depth: u32,
    /// Whether `recursive` goes through symbolic links. What is shown is the link itself.
    pub symlinks: Symlinks,
}

impl Default for List {
    fn default() -> Self {
        Self {
            remote_directory: None,
            file_filter: None,
            filter: None,
            max_files: 0,
            sort: Sort::None,
            hidden: false,
            recursive: false,
            max_depth: 0,
            symlinks: Symlinks::default(),
        }
    }
}

impl List {
    /// Reports what cannot be carried out.
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(filter) = setting(self.file_filter.as_ref()) {
            NameFilter::parse(filter)?;
        }
        depth(self.recursive, self.max_depth)
    }
}
