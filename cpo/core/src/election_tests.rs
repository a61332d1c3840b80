//! The transition table, one row per test, and random schedules against a model.

use super::*;

#[path = "election_tests/schedules.rs"]
mod schedules;

const ME: &str = "me";
const OTHER: &str = "other";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn timing() -> Timing {
    Timing::new(ms(15_000), ms(10_000), ms(2_000)).unwrap()
}

fn record(version: u64, holder: &str) -> Record {
    Record {
        version: version.to_string(),
        holder: holder.to_owned(),
        lease: Some(ms(15_000)),
        acquired: None,
        transitions: 7,
    }
}

/// A replica that could do the work.
fn fit() -> Election {
    let mut election = Election::new(ME.to_owned(), timing());
    election.handle(Input::Fit(true), ms(0));
    election
}

/// One that has read this record at time 0.
fn having_read(seen: Option<Record>) -> Election {
    let mut election = fit();
    assert_eq!(election.poll_call(ms(0)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(seen)), ms(0));
    election
}

fn is_replace(call: Option<&Call>, version: u64, holder: &str) -> bool {
    matches!(call, Some(Call::Replace { version: v, claim })
        if *v == version.to_string() && claim.holder == holder)
}

/// One that leads since its renewal of `began`, as version 1.
fn leading_since(began: u64) -> Election {
    let mut election = having_read(Some(record(0, "")));
    assert!(is_replace(election.poll_call(ms(began)).as_ref(), 0, ME));
    election.handle(Input::Ended(Answer::Written(record(1, ME))), ms(began + 5));
    assert_eq!(election.term(ms(began + 5)).map(|term| term.number), Some(1));
    election
}

fn ends(election: &mut Election) -> Vec<End> {
    let changes = election.take_changes().into_iter();
    changes.filter_map(|c| if let Change::Ended(_, why) = c { Some(why) } else { None }).collect()
}

#[test]
fn nothing_is_claimed_before_the_record_was_read() {
    let mut election = fit();
    assert_eq!(election.poll_call(ms(60_000)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Failed), ms(60_000));
    assert_eq!(election.poll_call(ms(61_999)), None);
    assert_eq!(election.poll_timeout(), Some(ms(62_000)));
    assert_eq!(election.poll_call(ms(62_000)), Some(Call::Read));
}

#[test]
fn a_record_that_never_was_is_created_at_once() {
    let mut election = having_read(None);
    let Some(Call::Create(claim)) = election.poll_call(ms(1)) else { panic!("no create") };
    assert_eq!((claim.holder.as_str(), claim.lease, claim.transitions), (ME, ms(15_000), 0));
    election.handle(Input::Ended(Answer::Written(record(1, ME))), ms(3));
    assert_eq!(election.term(ms(3)), Some(Term { number: 1, until: ms(10_001) }));
}

#[test]
fn a_record_that_was_given_back_is_taken_at_once_and_counts_as_another_holder() {
    let mut election = having_read(Some(record(4, "")));
    let Some(Call::Replace { version, claim }) = election.poll_call(ms(0)) else { panic!() };
    assert_eq!((version.as_str(), claim.transitions, claim.acquired), ("4", 8, None));
}

#[test]
fn our_own_record_of_before_is_taken_at_once_and_goes_on_counting() {
    let acquired = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let mut election = having_read(Some(Record { acquired, ..record(4, ME) }));
    let Some(Call::Replace { claim, .. }) = election.poll_call(ms(0)) else { panic!() };
    assert_eq!((claim.transitions, claim.acquired), (7, acquired));
}

#[test]
fn anothers_record_is_left_alone_until_it_has_not_changed_for_its_own_duration() {
    let mut election = having_read(Some(Record { lease: Some(ms(30_000)), ..record(4, OTHER) }));
    for at in (2_000..30_000).step_by(2_000) {
        assert_eq!(election.poll_call(ms(at)), Some(Call::Read), "at {at}");
        let same = Record { lease: Some(ms(30_000)), ..record(4, OTHER) };
        election.handle(Input::Ended(Answer::Read(Some(same))), ms(at));
    }
    assert_eq!(election.poll_timeout(), Some(ms(30_000)), "it wakes when the lease is over");
    assert_eq!(election.poll_call(ms(29_999)), None);
    election.read_at = None;
    assert!(is_replace(election.poll_call(ms(30_000)).as_ref(), 4, ME));
}

#[test]
fn a_change_of_anothers_record_begins_the_wait_anew() {
    let mut election = having_read(Some(record(4, OTHER)));
    election.handle(Input::Told(Some("5".into())), ms(14_000));
    assert_eq!(election.poll_call(ms(14_000)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(5, OTHER)))), ms(14_010));
    assert_eq!(election.next_write(), Some(ms(29_010)));
}

#[test]
fn a_watch_is_believed_in_nothing_but_that_there_is_something_to_read() {
    let mut election = having_read(Some(record(4, OTHER)));
    election.handle(Input::Told(Some("4".into())), ms(10));
    assert_eq!(election.poll_call(ms(10)), None, "known already");
    election.handle(Input::Told(None), ms(20));
    assert_eq!(election.poll_call(ms(20)), Some(Call::Read));
    election.handle(Input::Told(Some("5".into())), ms(25));
    election.handle(Input::Ended(Answer::Read(Some(record(5, "")))), ms(30));
    assert!(is_replace(election.poll_call(ms(30)).as_ref(), 5, ME), "told of what was read");
}

#[test]
fn what_is_told_during_a_call_is_looked_after_when_it_has_ended() {
    let mut election = having_read(Some(record(4, OTHER)));
    assert_eq!(election.poll_call(ms(2_000)), Some(Call::Read));
    election.handle(Input::Told(Some("5".into())), ms(2_001));
    election.handle(Input::Ended(Answer::Read(Some(record(4, OTHER)))), ms(2_002));
    assert_eq!(election.poll_call(ms(2_002)), Some(Call::Read));
}

#[test]
fn a_claim_that_conflicts_only_observes() {
    let mut election = having_read(Some(record(4, "")));
    assert!(election.poll_call(ms(0)).is_some());
    election.handle(Input::Ended(Answer::Conflict), ms(5));
    assert_eq!(election.term(ms(5)), None);
    assert_eq!(election.poll_call(ms(5)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(5, OTHER)))), ms(6));
    assert_eq!(election.next_write(), Some(ms(15_006)));
}

#[test]
fn a_claim_whose_outcome_is_unknown_is_looked_after() {
    let mut election = having_read(Some(record(4, "")));
    assert!(election.poll_call(ms(0)).is_some());
    election.handle(Input::Ended(Answer::Failed), ms(5_000));
    assert_eq!((election.term(ms(5_000)), election.poll_call(ms(5_000))), (None, None));
    assert_eq!(election.poll_call(ms(7_000)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(5, ME)))), ms(7_001));
    assert!(is_replace(election.poll_call(ms(7_001)).as_ref(), 5, ME));
}

#[test]
fn a_term_is_renewed_each_period_and_lasts_from_the_beginning_of_the_renewal() {
    let mut election = leading_since(0);
    assert_eq!(election.poll_timeout(), Some(ms(2_000)));
    assert_eq!(election.poll_call(ms(1_999)), None);
    assert!(is_replace(election.poll_call(ms(2_000)).as_ref(), 1, ME));
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(6_000));
    assert_eq!(election.term(ms(6_000)), Some(Term { number: 1, until: ms(12_000) }));
    assert!(is_replace(election.poll_call(ms(6_000)).as_ref(), 2, ME), "the next is overdue");
}

#[test]
fn who_cannot_renew_steps_down_at_the_deadline_and_reads_before_it_claims_again() {
    let mut election = leading_since(0);
    for at in [2_000, 4_000, 6_000, 8_000] {
        assert!(is_replace(election.poll_call(ms(at)).as_ref(), 1, ME), "at {at}");
        election.handle(Input::Ended(Answer::Failed), ms(at));
    }
    assert!(election.term(ms(9_999)).is_some());
    assert_eq!(election.poll_timeout(), Some(ms(10_000)));
    assert_eq!(election.term(ms(10_000)), None, "whether or not anybody polled");
    assert_eq!(election.poll_call(ms(10_000)), Some(Call::Read));
    assert_eq!(ends(&mut election), [End::Deadline]);
}

#[test]
fn who_was_paused_past_the_deadline_leads_no_more_though_the_answer_comes() {
    let mut election = leading_since(0);
    assert!(election.poll_call(ms(2_000)).is_some());
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(60_000));
    assert_eq!(election.term(ms(60_000)), None);
    assert_eq!(ends(&mut election), [End::Deadline]);
}

#[test]
fn a_renewal_that_conflicts_is_looked_after_and_another_holder_ends_the_term() {
    for (holder, ended) in [(OTHER, true), ("", true), (ME, false)] {
        let mut election = leading_since(0);
        assert!(election.poll_call(ms(2_000)).is_some());
        election.handle(Input::Ended(Answer::Conflict), ms(2_001));
        assert_eq!(election.poll_call(ms(2_001)), Some(Call::Read));
        election.handle(Input::Ended(Answer::Read(Some(record(9, holder)))), ms(2_002));
        assert_eq!(election.term(ms(2_002)).is_none(), ended, "{holder:?}");
        assert_eq!(ends(&mut election), [End::Taken][..usize::from(ended)], "{holder:?}");
    }
}

#[test]
fn a_record_that_is_deleted_is_made_again_by_its_holder_and_by_nobody_else_in_time() {
    let mut holder = leading_since(0);
    let mut standby = having_read(Some(record(1, OTHER)));
    for election in [&mut holder, &mut standby] {
        election.handle(Input::Told(None), ms(100));
        assert_eq!(election.poll_call(ms(100)), Some(Call::Read));
        election.handle(Input::Ended(Answer::Read(None)), ms(101));
    }
    assert!(holder.term(ms(101)).is_some());
    assert!(matches!(holder.poll_call(ms(101)), Some(Call::Create(_))));
    assert_eq!(standby.next_write(), Some(ms(15_000)));
}

#[test]
fn who_is_told_to_stop_gives_the_record_back_and_is_done() {
    let mut election = leading_since(0);
    election.handle(Input::Stop, ms(500));
    assert!(election.term(ms(500)).is_none() && !election.done());
    let Some(Call::Replace { claim, .. }) = election.poll_call(ms(500)) else { panic!() };
    assert_eq!((claim.holder.as_str(), claim.transitions), ("", 7));
    election.handle(Input::Ended(Answer::Written(record(2, ""))), ms(501));
    assert!(election.done());
    assert_eq!((election.poll_call(ms(90_000)), election.poll_timeout()), (None, None));
    assert_eq!(ends(&mut election), [End::Stopped]);
}

#[test]
fn a_renewal_under_way_at_the_stop_is_waited_for_and_then_given_back() {
    let mut election = leading_since(0);
    assert!(election.poll_call(ms(2_000)).is_some());
    election.handle(Input::Stop, ms(2_001));
    assert!(!election.done());
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(2_002));
    assert_eq!(election.term(ms(2_002)), None);
    assert!(is_replace(election.poll_call(ms(2_002)).as_ref(), 2, ""));
    election.handle(Input::Ended(Answer::Conflict), ms(2_003));
    assert_eq!(election.poll_call(ms(2_003)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(3, OTHER)))), ms(2_004));
    assert!(election.done());
}

#[test]
fn a_standby_that_is_told_to_stop_leaves_anothers_record_alone() {
    let mut election = having_read(Some(record(4, OTHER)));
    election.handle(Input::Stop, ms(1));
    assert!(election.done());
    assert_eq!(election.poll_call(ms(90_000)), None);
}

#[test]
fn who_cannot_do_the_work_any_more_hands_over_after_the_renew_deadline() {
    let mut election = leading_since(0);
    election.handle(Input::Fit(false), ms(1_000));
    assert!(election.poll_call(ms(9_000)).is_some());
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(9_001));
    assert_eq!(election.poll_timeout(), Some(ms(11_000)));
    assert!(is_replace(election.poll_call(ms(11_000)).as_ref(), 2, ""));
    assert_eq!(election.term(ms(11_000)), None);
    assert_eq!(ends(&mut election), [End::HandedOver]);
    election.handle(Input::Ended(Answer::Written(record(3, ""))), ms(11_001));
    assert_eq!(election.next_write(), Some(ms(26_001)), "others first, for a whole lease");
    election.handle(Input::Fit(true), ms(12_000));
    assert_eq!(election.next_write(), Some(ms(13_000)));
}

#[test]
fn a_renewal_that_was_under_way_at_the_handing_over_begins_no_term() {
    let mut election = leading_since(0);
    election.handle(Input::Fit(false), ms(1_000));
    assert!(election.poll_call(ms(5_000)).is_some());
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(5_001));
    assert!(is_replace(election.poll_call(ms(9_000)).as_ref(), 2, ME));
    election.handle(Input::Ended(Answer::Written(record(3, ME))), ms(11_000));
    assert_eq!(ends(&mut election), [End::HandedOver]);
    assert_eq!(election.term(ms(11_000)), None);
    assert!(is_replace(election.poll_call(ms(11_000)).as_ref(), 3, ""), "given back at once");
}

#[test]
fn who_can_do_the_work_again_in_time_keeps_the_term() {
    let mut election = leading_since(0);
    election.handle(Input::Fit(false), ms(1_000));
    election.handle(Input::Fit(true), ms(1_500));
    election.handle(Input::Fit(false), ms(1_900));
    assert_eq!(election.hand_over_at(), Some(ms(11_900)));
}

#[test]
fn a_handing_over_that_fails_is_tried_again() {
    let mut election = leading_since(0);
    election.handle(Input::Fit(false), ms(0));
    assert!(election.poll_call(ms(9_000)).is_some());
    election.handle(Input::Ended(Answer::Written(record(2, ME))), ms(9_001));
    assert!(is_replace(election.poll_call(ms(10_000)).as_ref(), 2, ""));
    election.handle(Input::Ended(Answer::Failed), ms(10_001));
    assert_eq!(election.poll_call(ms(12_001)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(2, ME)))), ms(12_002));
    assert!(is_replace(election.poll_call(ms(12_002)).as_ref(), 2, ""));
}

#[test]
fn nobody_who_could_do_the_work_leaves_one_that_cannot_in_its_place() {
    let mut election = Election::new(ME.to_owned(), timing());
    assert_eq!(election.poll_call(ms(0)), Some(Call::Read));
    election.handle(Input::Ended(Answer::Read(Some(record(0, "")))), ms(0));
    assert_eq!(election.next_write(), Some(ms(15_000)), "free for a whole lease first");
    election.read_at = None;
    assert!(is_replace(election.poll_call(ms(15_000)).as_ref(), 0, ME));
    election.handle(Input::Ended(Answer::Written(record(1, ME))), ms(15_001));
    assert_eq!(election.hand_over_at(), None, "no ping-pong while the database is away for all");
    election.handle(Input::Fit(true), ms(16_000));
    election.handle(Input::Fit(false), ms(17_000));
    assert_eq!(election.hand_over_at(), Some(ms(27_000)));
}

#[test]
fn who_is_fenced_steps_down_and_is_usurped_only_if_the_record_is_ours_still() {
    for (holder, usurped) in [(ME, true), (OTHER, false)] {
        let mut election = leading_since(0);
        election.handle(Input::Fenced(1), ms(100));
        assert_eq!(election.term(ms(100)), None);
        assert_eq!(election.poll_call(ms(100)), Some(Call::Read));
        election.handle(Input::Ended(Answer::Failed), ms(101));
        assert_eq!(election.next_write(), None, "nothing is claimed in doubt");
        assert_eq!(election.poll_call(ms(2_101)), Some(Call::Read));
        election.handle(Input::Ended(Answer::Read(Some(record(2, holder)))), ms(2_102));
        assert_eq!(election.usurped(), usurped);
        assert_eq!(ends(&mut election), [End::Fenced]);
    }
}

#[test]
fn a_fence_of_an_earlier_term_is_no_news() {
    let mut election = leading_since(0);
    election.handle(Input::Fenced(7), ms(100));
    assert!(election.term(ms(100)).is_some());
}
