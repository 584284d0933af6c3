//! Schedules over small plans: every order that processes can end in.

use super::*;
use crate::format::plan::{ABSENT, SOFT, sample};
use std::collections::BTreeSet;

/// A plan of modules `0`, `1` …, given by flags and dependencies.
fn plan(modules: &[(u8, &[u16])]) -> Plan<'static> {
    let mut section = Vec::new();
    for (number, (flags, dependencies)) in modules.iter().enumerate() {
        let name = number.to_string();
        section.extend([*flags, name.len() as u8]);
        section.extend(name.as_bytes());
        section.extend([0, dependencies.len() as u8]);
        section.extend(dependencies.iter().flat_map(|number| number.to_le_bytes()));
    }
    sample::plan(&section, b"")
}

/// Starts what can be started, in processes numbered 100 and more; returns the modules.
fn start(schedule: &mut Schedule, plan: &Plan) -> Vec<usize> {
    let mut started = Vec::new();
    while let Some(module) = schedule.next(plan).map(|module| module.number) {
        schedule.started(module, 100 + module, 0);
        started.push(module);
    }
    started
}

fn end(schedule: &mut Schedule, module: usize, state: State) {
    assert_eq!(schedule.ended(100 + module), Some(module));
    schedule.settle(module, state);
}

fn schedule(slots: usize) -> Schedule {
    Schedule {
        slots,
        ..Schedule::none()
    }
}

#[test]
fn dependencies_first_and_as_many_as_there_are_slots() {
    let plan = plan(&[(0, &[]), (0, &[]), (0, &[0, 1]), (0, &[]), (0, &[2])]);
    let mut one = schedule(2);
    assert!(one.ask(4, State::WANTED));
    assert!(!one.ask(4, State::WANTED));
    assert_eq!(start(&mut one, &plan), [0, 1]);
    end(&mut one, 1, State::LOADED);
    assert_eq!(start(&mut one, &plan), []);
    end(&mut one, 0, State::LOADED);
    assert_eq!(start(&mut one, &plan), [2]);
    assert!(one.is_busy());
    end(&mut one, 2, State::LOADED);
    assert_eq!(start(&mut one, &plan), [4]);
    end(&mut one, 4, State::LOADED);
    assert!(!one.is_busy());
    // Nobody asked for it.
    assert_eq!(one.state(3), State::UNASKED);
    assert_eq!(one.ended(7), None);
}

#[test]
fn a_barred_module_is_loaded_for_the_boot_and_for_what_needs_it() {
    let plan = plan(&[(0, &[]), (0, &[0]), (0, &[])]);
    let mut schedule = schedule(4);
    for module in 0..3 {
        assert!(schedule.ask(module, State::BARRED));
        assert!(!schedule.ask(module, State::BARRED));
    }
    assert_eq!(start(&mut schedule, &plan), []);
    assert!(schedule.ask(1, State::NEEDED));
    assert_eq!(start(&mut schedule, &plan), [0]);
    end(&mut schedule, 0, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [1]);
    assert!(!schedule.ask(0, State::BARRED));
    assert_eq!(schedule.state(2), State::BARRED);
}

#[test]
fn nothing_is_tried_twice() {
    let plan = plan(&[(0, &[]), (0, &[])]);
    let mut schedule = schedule(4);
    for state in [
        State::LOADED,
        State::CRASHED,
        State::of_error(2),
        State::SLOW,
        State::LOADING,
    ] {
        schedule.settle(0, state);
        assert!(!schedule.ask(0, State::WANTED));
        assert!(!schedule.ask(0, State::NEEDED));
        assert_eq!(start(&mut schedule, &plan), []);
        assert_eq!(schedule.state(0), state);
    }
}

#[test]
fn a_failure_blocks_what_needs_it_and_nothing_else() {
    for failure in [State::CRASHED, State::of_error(8)] {
        let plan = plan(&[(0, &[]), (0, &[0]), (0, &[1]), (0, &[SOFT]), (0, &[])]);
        let mut schedule = schedule(1);
        for module in 2..5 {
            schedule.ask(module, State::WANTED);
        }
        assert_eq!(start(&mut schedule, &plan), [4]);
        end(&mut schedule, 4, State::LOADED);
        assert_eq!(start(&mut schedule, &plan), [0]);
        end(&mut schedule, 0, failure);
        assert_eq!(start(&mut schedule, &plan), [3]);
        assert_eq!(schedule.state(1), State::BLOCKED);
        assert_eq!(schedule.state(2), State::BLOCKED);
    }
}

#[test]
fn a_slow_module_holds_no_slot() {
    let plan = plan(&[(0, &[]), (0, &[0]), (0, &[SOFT]), (0, &[])]);
    let mut schedule = schedule(1);
    for module in 0..4 {
        schedule.ask(module, State::WANTED);
    }
    assert_eq!(start(&mut schedule, &plan), [0]);
    let second = 1_000_000;
    assert_eq!(schedule.give_up(PATIENCE * second - 1), None);
    assert_eq!(schedule.give_up(PATIENCE * second), Some(0));
    assert_eq!(schedule.give_up(PATIENCE * second), None);
    assert!(!schedule.is_busy());
    // What only profits from it goes on, what needs it waits.
    assert_eq!(start(&mut schedule, &plan), [2]);
    end(&mut schedule, 2, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [3]);
    end(&mut schedule, 3, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), []);
    assert_eq!(schedule.state(1), State::WANTED);
    // It came to its end after all.
    end(&mut schedule, 0, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [1]);
}

#[test]
fn only_what_the_boot_needs() {
    let plan = plan(&[(0, &[]), (0, &[]), (0, &[0]), (0, &[1])]);
    let mut schedule = schedule(4);
    schedule.only_needed = true;
    schedule.ask(0, State::WANTED);
    schedule.ask(3, State::WANTED);
    assert_eq!(start(&mut schedule, &plan), []);
    schedule.ask(2, State::NEEDED);
    assert_eq!(start(&mut schedule, &plan), [0]);
    end(&mut schedule, 0, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [2]);
    assert_eq!(schedule.state(3), State::WANTED);
    assert_eq!(schedule.state(1), State::UNASKED);
    schedule.only_needed = false;
    assert_eq!(start(&mut schedule, &plan), [1]);
}

#[test]
fn drivers_for_people_come_last() {
    let plan = plan(&[(0, &[]), (0, &[0]), (CONSOLE, &[]), (CONSOLE, &[2])]);
    let mut schedule = schedule(4);
    for module in 1..4 {
        schedule.ask(module, State::WANTED);
    }
    for module in 0..4 {
        assert_eq!(start(&mut schedule, &plan), [module]);
        end(&mut schedule, module, State::LOADED);
    }
}

/// What waits for a module that hangs does not keep a keyboard away.
#[test]
fn drivers_for_people_wait_for_nothing_that_hangs() {
    let plan = plan(&[(0, &[]), (0, &[0]), (0, &[1]), (CONSOLE, &[]), (0, &[])]);
    let mut schedule = schedule(2);
    for module in 0..4 {
        schedule.ask(module, State::WANTED);
    }
    assert_eq!(start(&mut schedule, &plan), [0]);
    assert_eq!(schedule.give_up(u64::MAX), Some(0));
    schedule.ask(4, State::NEEDED);
    assert_eq!(start(&mut schedule, &plan), [4]);
    end(&mut schedule, 4, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [3]);
    assert_eq!(schedule.state(2), State::WANTED);
}

/// Each has its own time, whatever else happens meanwhile.
#[test]
fn the_oldest_is_given_up_first() {
    let plan = plan(&[(0, &[]), (0, &[])]);
    let mut schedule = schedule(2);
    for (module, second) in [(0, 3), (1, 7)] {
        schedule.ask(module, State::NEEDED);
        assert_eq!(schedule.next(&plan).unwrap().number, module);
        schedule.started(module, 100 + module, second * 1_000_000);
    }
    assert_eq!(schedule.give_up(8_000_000), Some(0));
    assert_eq!(schedule.give_up(11_999_999), None);
    assert_eq!(schedule.give_up(12_000_000), Some(1));
    // Their numbers are given to other processes only when they have ended.
    assert_eq!(schedule.ended(101), Some(1));
    schedule.settle(1, State::LOADED);
    assert_eq!(schedule.ended(101), None);
}

#[test]
fn only_what_a_console_can_hang_on() {
    let plan = plan(&[(0, &[]), (ATTEND, &[]), (ATTEND | CONSOLE, &[1])]);
    let mut schedule = schedule(4);
    schedule.only_attend = true;
    schedule.ask(0, State::NEEDED);
    schedule.ask(2, State::WANTED);
    assert_eq!(start(&mut schedule, &plan), [1]);
    end(&mut schedule, 1, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), [2]);
    end(&mut schedule, 2, State::LOADED);
    assert_eq!(start(&mut schedule, &plan), []);
    schedule.only_attend = false;
    assert_eq!(start(&mut schedule, &plan), [0]);
}

#[test]
fn how_long_a_module_loads() {
    let plan = plan(&[(0, &[])]);
    let mut schedule = schedule(1);
    schedule.ask(0, State::NEEDED);
    assert_eq!(schedule.next(&plan).unwrap().number, 0);
    schedule.started(0, 4_194_303, 7_900_000);
    assert_eq!(schedule.age(0, 12_000_000), 5);
    assert_eq!(schedule.age(0, 1), 0);
    assert_eq!(schedule.ended(4_194_303), Some(0));
    assert_eq!(schedule.state(0), State::LOADING);
}

/// Some of the modules before this one, some of them soft.
fn dependencies(module: usize, random: &mut dyn FnMut(usize) -> usize) -> Vec<u16> {
    let needs: BTreeSet<usize> = (0..random(4))
        .filter(|_| module > 0)
        .map(|_| random(module.max(1)))
        .collect();
    let soft = |number: usize| if random(4) == 0 { SOFT } else { 0 } | number as u16;
    needs.into_iter().map(soft).collect()
}

/// Random plans, demands and endings: each module is started once, after what it depends on, and
/// none that can be is left.
#[test]
fn whatever_happens() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % below
    };
    for _ in 0..300 {
        let count = 1 + random(24);
        let needs: Vec<Vec<u16>> = (0..count)
            .map(|module| dependencies(module, &mut random))
            .collect();
        let mut flags = || if random(5) == 0 { CONSOLE } else { 0 };
        let modules: Vec<(u8, &[u16])> = needs
            .iter()
            .map(|needs| (flags(), needs.as_slice()))
            .collect();
        let plan = plan(&modules);
        let slots = 1 + random(3);
        let mut schedule = schedule(slots);
        let (mut running, mut seen) = (Vec::new(), BTreeSet::new());
        for _ in 0..200 {
            match random(4) {
                0 => drop(schedule.ask(random(count), State::WANTED)),
                1 if !running.is_empty() => {
                    let module = running.swap_remove(random(running.len()));
                    let [loaded, crashed] = [State::LOADED, State::CRASHED];
                    let outcomes = [loaded, loaded, crashed, State::of_error(8)];
                    end(&mut schedule, module, outcomes[random(4)]);
                }
                _ => {
                    for module in start(&mut schedule, &plan) {
                        assert!(seen.insert(module), "{module} twice");
                        for need in &needs[module] {
                            let there = schedule.state(usize::from(need & !SOFT));
                            assert!(there.is_settled());
                            assert!(need & SOFT != 0 || there == State::LOADED);
                        }
                        running.push(module);
                    }
                    assert!(running.len() <= slots);
                }
            }
        }
        running.extend(start(&mut schedule, &plan));
        while let Some(module) = running.pop() {
            end(&mut schedule, module, State::LOADED);
            running.extend(start(&mut schedule, &plan));
        }
        assert_eq!(start(&mut schedule, &plan), []);
        for module in 0..count {
            let state = schedule.state(module);
            assert!(
                state == State::UNASKED || state.is_settled(),
                "{module} is {state:?}"
            );
        }
    }
}

#[test]
fn names() {
    for (state, name) in [
        (State::WANTED, "waiting"),
        (State::NEEDED, "waiting"),
        (State::LOADING, "loading"),
        (State::SLOW, "takes long: not waited for"),
        (State::LOADED, "loaded"),
        (State::CRASHED, "its init function crashed"),
        (State::BLOCKED, "needs one that failed"),
        (State::of_error(0), "loaded"),
        (State::of_error(8), "ENOEXEC"),
        (State::of_error(129), "EKEYREJECTED"),
    ] {
        let mut line = Line::new();
        state.push(&mut line);
        assert_eq!(line, name.as_bytes());
    }
}

#[test]
fn what_is_only_known_is_never_started() {
    let plan = plan(&[(0, &[]), (ABSENT, &[])]);
    let mut one = schedule(2);
    one.settle(1, State::ABSENT);
    for demand in [State::WANTED, State::NEEDED] {
        assert!(one.ask(0, demand));
        assert!(!one.ask(1, demand));
    }
    assert_eq!(start(&mut one, &plan), [0]);
    assert_eq!(one.state(1), State::ABSENT);
}
