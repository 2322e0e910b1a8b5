//! What can happen to the connection and to the box while artifacts cross.

use std::time::{Duration, Instant};

use crate::{
    bed::Bed,
    case::{Case, LIMIT, Spec},
    network::Table,
    pods::{LONG, Place},
};

#[test]
fn a_connection_that_is_cut_for_five_minutes() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-cut-long");
    place.pod("app", LONG);
    let spec = Spec { retries: 10, ..Spec::of("app") };
    let case = Case::begin(&bed, "the connection is cut for 5 min", "fault-cut-long", "job", &spec);
    case.job.wait_until_bytes_cross(LIMIT);
    let (cut, begun) = (Table::without_boxes(&bed), Instant::now());
    case.retries_until_mended("ConnectionLost", &["198.51.100.", "could not be taken up again"], || {
        std::thread::sleep(Duration::from_mins(5).saturating_sub(begun.elapsed())); // the fault itself
        drop(cut);
    });
}

#[test]
fn a_box_that_is_terminated_in_mid_transfer() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-box");
    place.pod("app", LONG);
    let spec = Spec { retries: 3, ..Spec::of("app") };
    let case = Case::begin(&bed, "the box is terminated in mid-transfer", "fault-box", "job", &spec);
    case.job.wait_until_bytes_cross(LIMIT);
    let instance = case.job.status()["session"]["instance"].as_str().unwrap().to_owned();
    bed.aws(&["ec2", "terminate-instances", "--instance-ids", &instance]);
    case.retries_until_mended("ConnectionLost", &["198.51.100."], || {});
}
