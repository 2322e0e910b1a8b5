//! The quickest and most telling faults, one of each kind; `cargo xtask test` runs these.

use crate::{
    aws::{NoCapacity, Rule},
    bed::Bed,
    case::{Case, LIMIT, Spec},
    network::{Stranger, Table},
    pods::{LONG, PARTS, Place, SMALL},
};

#[test]
fn a_selector_that_matches_nothing() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-selector");
    Case::begin(&bed, "a selector that matches nothing", "fault-selector", "job", &Spec::of("app"))
        .fails("NoPodsMatched", &["source data", "namespace fault-selector", "app=app"]);
    place.pod("app", SMALL);
    Case::twin(&bed, "fault-selector", "job", &Spec::of("app"));
}

#[test]
fn s3_denies_a_part() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-part");
    place.pod("app", PARTS);
    let rule = Rule::always(&bed, "UploadPart", "clusters/demo/fault-part/*", "AccessDenied");
    Case::begin(&bed, "AccessDenied at UploadPart (first)", "fault-part", "job", &Spec::of("app"))
        .fails("StorageDenied", &["UploadPart of clusters/demo/fault-part/job/", "AccessDenied", "policies"]);
    drop(rule);
    Case::twin(&bed, "fault-part", "job", &Spec::of("app"));
}

#[test]
fn a_connection_that_is_cut_for_five_seconds_goes_on() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-cut");
    place.pod("app", LONG);
    let case = Case::begin(&bed, "the connection is cut for 5 s", "fault-cut", "job", &Spec::of("app"));
    case.job.wait_until_bytes_cross(LIMIT);
    let cut = Table::without_boxes(&bed);
    std::thread::sleep(std::time::Duration::from_secs(5)); // the fault itself, not a wait for a condition
    drop(cut);
    case.completes_in_the_first_attempt("the transfer goes on where it was");
}

#[test]
fn a_stranger_at_the_boxs_address_gets_nothing() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-stranger");
    place.pod("app", SMALL);
    let stranger = Stranger::listen(&bed);
    let astray = Table::to_a_stranger(&bed);
    Case::begin(&bed, "a host key that differs", "fault-stranger", "job", &Spec::of("app")).fails(
        "HostKeyMismatch",
        &["shows host key SHA256:", "the box reported SHA256:", "nothing was sent"],
    );
    drop((astray, stranger));
    Case::twin(&bed, "fault-stranger", "job", &Spec::of("app"));
}

#[test]
fn without_capacity_the_next_instance_type_is_taken() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-capacity");
    place.pod("app", SMALL);
    let first = NoCapacity::of(&bed, "t3.small");
    Case::begin(&bed, "no capacity for the first instance type", "fault-capacity", "next", &Spec::of("app"))
        .completes_in_the_first_attempt("the next type of the list is launched");
    let second = NoCapacity::of(&bed, "t3a.small");
    Case::begin(
        &bed,
        "InsufficientInstanceCapacity for every type",
        "fault-capacity",
        "none",
        &Spec::of("app"),
    )
    .fails("CreateRefusedCapacity", &["InsufficientInstanceCapacity", "t3a.small", "add instance types"]);
    drop((first, second));
    Case::twin(&bed, "fault-capacity", "job", &Spec::of("app"));
}
