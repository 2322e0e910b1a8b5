//! Logs of containers, as the node keeps them and the API server passes them on.
//!
//! # What the API gives, and what it does not
//!
//! `pods/log` reads one file: the newest one of the container's running instance, or of the instance before it
//! (`previous`). What the node rotated away, and instances before those two, cannot be read by anyone.
//! Neither a status nor a trailer tells the end of a log: when the connection between API server and kubelet breaks,
//! the API server ends its answer as it ends a whole one, and a kubelet that fails in the middle writes its words
//! behind the last line. `sinceTime` is whole seconds, and it hides each record older than that, so that the rest of
//! a line whose first record is hidden comes without a timestamp.
//!
//! # What is done about it
//!
//! - **Going on** ([`plan`], [`sift`]): a log file only grows at its end. So the last line stored is kept with its
//!   timestamp, a digest and how often it stands there ([`LogMark`]); what follows it in the file is new. The order
//!   of timestamps does not matter then; they only say how far back to read. A mark that is not in the file any more
//!   means that the node rotated the file: the time from the mark to the file's first line is a gap.
//! - **The end** ([`probe`]): before a log is read, its last line is asked for (`tailLines=1`). A stream that does not
//!   hold that line was cut, and is taken up again where it broke. So what stood in the file when its turn came is
//!   stored; what was written since may be, or the next backup finds it.
//! - **Whose log** ([`read`]): kubelet gives a new run's log before the pod's status shows the restart. Unless a mark
//!   was found in it, the `previous` log's last line shows whose it is, as kubelet chooses both by the same knowledge.
//! - **Whole lines**: every line begins with a timestamp, or it is no line of the log and an error. A line is held in
//!   memory up to 64 KiB, a longer one passes through. A last line without its end is left to the next backup.
//!
//! Not told apart: a clock that was set back by more than the overlap and has caught up before the next backup
//! (`sinceTime` then hides what was written in between); a rotation in the first moments of a container's life whose
//! log does not begin fast ([`found`] says when it is taken for one).
//!
//! [`LogMark`]: crate::api::LogMark

mod api;
mod found;
mod gaps;
mod instance;
mod plan;
mod probe;
mod read;
mod sift;

use gaps::Gaps;
pub use plan::{Base, Plan};
pub use read::{Gathered, LogStream, open};

pub(super) use instance::{Instance, of_pod};
pub(super) use plan::{plan, vanished};

#[cfg(test)]
mod sift_tests;
