//! Clocks that differ. AWS forgives some of it: S3 takes a quarter of an hour, Lambda five minutes. What is forgiven must not
//! break what else depends on time; what is not must be said, and be over when the clock is set.

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
        let spec = Spec { retries: 3, ..Spec::of("app") };
        Case::begin(&bed, fault, "fault-clock", name, &spec).is_held_until_mended(
            "ClockSkew",
            &["AWS refuses the time", "the clock of the controller's node", "set it"],
            || controller.shim.clock(0),
        );
    }
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
