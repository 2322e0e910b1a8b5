//! Clocks that differ. AWS and the SDK forgive some of it: S3 takes fifteen minutes, and a client that is refused for its
//! time signs again by the time of the answer. What is forgiven must not break what else depends on time.

use std::time::Duration;

use crate::{
    bed::Bed,
    case::{Case, Spec},
    clock::{BoxClock, Shimmed},
    pods::{PARTS, Place},
};

const TEN_MINUTES: i64 = 600;

#[test]
fn a_controller_ten_minutes_off() {
    let bed = Bed::open();
    Place::new(&bed, "fault-clock").pod("app", PARTS);
    let controller = Shimmed::controller(&bed);
    for (fault, name, offset) in [
        ("the controller's clock is ten minutes ahead", "ahead", TEN_MINUTES),
        ("the controller's clock is ten minutes behind", "behind", -TEN_MINUTES),
    ] {
        controller.shim.clock(offset);
        Case::begin(&bed, fault, "fault-clock", name, &Spec::of("app"))
            .completes_in_the_first_attempt("it signs by AWS's time; deadlines are measured, not compared");
    }
    controller.shim.clock(0);
    Case::twin(&bed, "fault-clock", "job", &Spec::of("app"));
}

#[test]
fn a_box_ten_minutes_off() {
    let bed = Bed::open();
    Place::new(&bed, "fault-box-clock").pod("app", PARTS);
    for (fault, name, ahead) in [
        ("the box's clock is ten minutes ahead", "ahead", true),
        ("the box's clock is ten minutes behind", "behind", false),
    ] {
        let _clock = BoxClock::off_by(&bed, Duration::from_mins(10), ahead);
        Case::begin(&bed, fault, "fault-box-clock", name, &Spec::of("app"))
            .completes_in_the_first_attempt("S3 takes signatures of a quarter of an hour");
    }
    Case::twin(&bed, "fault-box-clock", "job", &Spec::of("app"));
}
