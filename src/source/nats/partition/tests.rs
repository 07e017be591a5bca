use super::standing::LONG;
use super::*;

const NOW: Duration = Duration::from_secs(1);

pub(super) fn token(sequence: u64, delivery: u64) -> Token {
    Token {
        partition: 0,
        deliveries: 1,
        sequence,
        delivery,
        at: Millis(0),
        pending: 0,
    }
}

/// A partition that got these sequences, none missing.
fn partition(sequences: &[u64]) -> Partition {
    let mut partition = Partition::new(Duration::ZERO);
    partition.heard(&Standing::default(), NOW, true);
    for (place, sequence) in sequences.iter().enumerate() {
        take(&mut partition, *sequence, place as u64 + 1);
    }
    partition
}

pub(super) fn reply(sequence: u64, delivery: u64) -> Subject {
    format!("$JS.ACK.S.c-0.1.{sequence}.{delivery}.0.0").into()
}

fn take(partition: &mut Partition, sequence: u64, delivery: u64) -> Arrival {
    let reply = reply(sequence, delivery);
    partition.arrived(&token(sequence, delivery), reply, NOW)
}

pub(super) fn names(replies: &[Subject]) -> Vec<u64> {
    let names = replies.iter().map(|reply| Token::parse(reply).unwrap());
    names.map(|token| token.sequence).collect()
}

/// Everything that is settled is acknowledged and confirmed.
fn acknowledge(partition: &mut Partition) -> Option<(Subject, u64)> {
    let acknowledged = partition.up_to()?;
    let upto = partition.sending(acknowledged.1);
    assert_eq!(partition.confirmed(upto), acknowledged.1);
    Some(acknowledged)
}

#[test]
fn a_message_is_taken_once_and_acknowledged_by_its_latest_reply() {
    let mut partition = partition(&[5, 6, 9]);
    let arrival = take(&mut partition, 5, 4);
    assert_eq!((arrival, partition.open()), (Arrival::Known, 3));
    partition.settled(2);
    assert_eq!(partition.each(10), [reply(5, 4), reply(6, 2)]);
    assert_eq!(partition.sending(2), 2);
    assert_eq!(partition.each(10), []);
    assert_eq!((partition.confirmed(2), partition.confirmed(2)), (2, 0));
    assert_eq!(take(&mut partition, 5, 5), Arrival::New(3));
}

#[test]
fn another_message_of_the_same_sequence_is_noticed() {
    let mut partition = partition(&[5]);
    let other = Token {
        at: Millis(1),
        ..token(5, 2)
    };
    assert_eq!(partition.arrived(&other, "x".into(), NOW), Arrival::Strange);
}

#[test]
fn what_is_not_confirmed_is_sent_again() {
    let mut partition = partition(&[1, 2, 3, 4]);
    partition.settled(3);
    partition.sending(2);
    assert_eq!(partition.unconfirmed(), 2);
    assert_eq!(names(&partition.each(10)), [1, 2, 3]);
    assert_eq!(
        partition.confirmed(3),
        0,
        "nothing was sent that could be confirmed"
    );
    assert!(!partition.is_confirmed());
}

#[test]
fn up_to_waits_for_stragglers() {
    let mut partition = partition(&[10, 11, 3]);
    partition.settled(2);
    assert_eq!(partition.up_to(), None, "3 is open");
    partition.settled(3);
    assert_eq!(partition.up_to(), Some((reply(11, 3), 3)));
}

#[test]
fn up_to_waits_for_what_was_delivered_and_never_came() {
    let standing = |ack_pending| Standing {
        ack_pending,
        delivered: 4,
        ..Standing::default()
    };
    let mut partition = partition(&[1, 2]);
    take(&mut partition, 4, 4);
    partition.settled(3);
    assert_eq!(partition.up_to(), None, "delivery 3 is missing");
    partition.heard(&standing(4), 2 * NOW, true);
    assert_eq!(partition.up_to(), None, "one of the four is not here");
    take(&mut partition, 3, 5);
    assert_eq!(partition.heard(&standing(4), NOW, true), None);
    assert_eq!(
        partition.up_to(),
        None,
        "the answer is older than the doubt"
    );
    partition.settled(4);
    partition.heard(&standing(4), 2 * NOW, true);
    assert_eq!(partition.up_to(), Some((reply(4, 4), 4)));
}

#[test]
fn what_a_dead_reader_held_takes_its_place_before_what_came_first() {
    let standing = |delivered, ack_pending| Standing {
        ack_pending,
        acknowledged: 4,
        acknowledged_delivery: 2,
        delivered,
        deliveries: 4,
    };
    let mut partition = Partition::new(Duration::ZERO);
    partition.begins_after(4);
    assert_eq!(partition.heard(&standing(9, 2), NOW, true), Some(2));
    take(&mut partition, 20, 5);
    assert_eq!(partition.acknowledged(), None);
    take(&mut partition, 5, 6);
    take(&mut partition, 9, 7);
    assert!(!partition.is_settled_before(0));
    assert_eq!(partition.heard(&standing(20, 3), 2 * NOW, true), Some(0));
    assert!(partition.is_settled_before(0) && !partition.is_settled_before(1));
    assert_eq!(partition.acknowledged(), Some(5));

    assert_eq!(partition.in_order(0), Some(vec![1, 2, 0]));
    assert_eq!(partition.in_order(0), None);
    assert_eq!([0, 1, 2].map(|at| partition.sequence(at)), [5, 9, 20]);
    assert_eq!(take(&mut partition, 9, 8), Arrival::Known);
    partition.settled(1);
    assert_eq!(acknowledge(&mut partition), Some((reply(5, 5), 1)));
    assert_eq!(partition.acknowledged(), Some(9));
    partition.settled(3);
    assert_eq!(acknowledge(&mut partition), Some((reply(20, 7), 2)));
    assert_eq!(partition.acknowledged(), Some(21));
    assert!(partition.is_empty());
}

#[test]
fn what_comes_after_it_should_have_settled_goes_back_before_it() {
    let mut partition = partition(&[7, 8]);
    partition.settled(2);
    assert!(!partition.goes_back(2), "nothing came late");
    assert_eq!(acknowledge(&mut partition), Some((reply(8, 2), 2)));
    take(&mut partition, 10, 3);
    take(&mut partition, 11, 4);
    take(&mut partition, 6, 5);
    take(&mut partition, 9, 6);
    assert!(!partition.goes_back(3), "10 is open");
    partition.settled(3);
    assert_eq!(partition.up_to(), None, "6 and 9 are open");
    assert!(!partition.is_settled_before(3) && partition.goes_back(3));
    assert_eq!(partition.in_order(3), Some(vec![1, 2, 0]));
    assert_eq!(partition.in_order(3), None);
    assert_eq!(
        [2, 3, 4, 5].map(|at| partition.sequence(at)),
        [10, 6, 9, 11]
    );
    partition.settled(4);
    assert_eq!(partition.up_to(), None, "9 is open");
    assert!(partition.goes_back(4));
    assert_eq!(partition.in_order(4), None);
    partition.settled(5);
    assert!(!partition.goes_back(5), "10 may be acknowledged, and is");
    assert_eq!(acknowledge(&mut partition), Some((reply(10, 5), 3)));
    assert!(partition.is_settled_before(5));
    assert_eq!(partition.acknowledged(), Some(11));
}

#[test]
fn a_first_message_that_follows_the_last_delivery_is_in_no_doubt() {
    let mut partition = Partition::new(Duration::ZERO);
    partition.begins_after(3);
    partition.heard(&Standing::default(), NOW, true);
    take(&mut partition, 8, 4);
    assert!(!partition.is_in_doubt());
    take(&mut partition, 9, 6);
    assert!(partition.is_in_doubt());
}

#[test]
fn what_comes_after_the_server_answered_leaves_no_doubt() {
    let mut partition = partition(&[1, 2]);
    partition.reconnected(NOW);
    let standing = Standing {
        ack_pending: 3,
        delivered: 3,
        ..Standing::default()
    };
    take(&mut partition, 3, 3);
    take(&mut partition, 4, 4);
    assert_eq!(partition.heard(&standing, 2 * NOW, true), Some(0));
    assert!(!partition.is_in_doubt());
}

#[test]
fn what_the_server_has_forgotten_it_delivers_again_before_anything_is_acknowledged() {
    let mut partition = partition(&[1, 2, 3]);
    partition.settled(3);
    partition.reconnected(NOW);
    let standing = |delivered| Standing {
        ack_pending: delivered,
        delivered,
        ..Standing::default()
    };
    assert_eq!(partition.heard(&standing(1), 2 * NOW, true), Some(2));
    assert_eq!(partition.up_to(), None);
    partition.heard(&standing(1), 3 * NOW, true);
    assert_eq!((partition.forgotten(), partition.forgotten_for()), (2, NOW));
    partition.heard(&standing(2), 4 * NOW, true);
    assert_eq!(
        (partition.forgotten(), partition.forgotten_for()),
        (1, Duration::ZERO)
    );
    assert_eq!(take(&mut partition, 2, 2), Arrival::Known);
    assert_eq!(take(&mut partition, 3, 3), Arrival::Known);
    assert_eq!(partition.heard(&standing(3), 6 * NOW, true), Some(0));
    assert_eq!(partition.forgotten_for(), Duration::ZERO);
    assert_eq!(acknowledge(&mut partition), Some((reply(3, 3), 3)));
}

/// A server that knows of one delivery only.
fn only_the_first() -> Standing {
    Standing {
        ack_pending: 1,
        delivered: 1,
        ..Standing::default()
    }
}

#[test]
fn a_server_that_is_away_has_not_failed_to_deliver_again() {
    let mut partition = partition(&[1, 2]);
    let standing = only_the_first();
    partition.reconnected(NOW);
    partition.heard(&standing, 2 * NOW, true);
    partition.heard(&standing, 5 * NOW, true);
    assert_eq!(partition.forgotten_for(), 3 * NOW);
    assert_eq!(partition.connected_for(5 * NOW), 4 * NOW);
    partition.reconnected(60 * NOW);
    assert_eq!(partition.heard(&standing, 59 * NOW, true), None);
    assert_eq!(partition.forgotten_for(), Duration::ZERO);
    partition.heard(&standing, 62 * NOW, true);
    assert_eq!(partition.forgotten_for(), 2 * NOW);
    partition.heard(&standing, 900 * NOW, true);
    assert!(
        partition.forgotten_for() < 10 * NOW,
        "nobody looked meanwhile"
    );
    let before = partition.forgotten_for();
    partition.heard(&standing, 901 * NOW, false);
    assert_eq!(partition.forgotten_for(), before, "it was not asked for");
    let more = Standing {
        delivered: 0,
        ack_pending: 0,
        ..standing
    };
    partition.heard(&more, 902 * NOW, true);
    assert_eq!(
        partition.forgotten_for(),
        Duration::ZERO,
        "it has forgotten more"
    );
    assert_eq!(partition.connected_for(62 * NOW), 2 * NOW);
    assert!(!partition.is_given_up(62 * NOW, 10 * NOW));
    assert!(partition.is_given_up(71 * NOW, 10 * NOW));
    // Each connection ends before the server's patience does.
    (80..200)
        .step_by(5)
        .for_each(|at| partition.reconnected(at * NOW));
    assert!(partition.is_given_up(200 * NOW, 10 * NOW));
}

#[test]
fn a_consumer_made_anew_is_no_trouble_where_nothing_of_the_old_one_is_held() {
    let mut quiet = partition(&[1, 2]);
    quiet.settled(2);
    acknowledge(&mut quiet).unwrap();
    assert!(!quiet.is_of_another(0));
    take(&mut quiet, 1, 1);
    assert!(!quiet.is_of_another(1), "1 came of the new one");
    let mut busy = partition(&[1, 2]);
    assert!(busy.is_of_another(1), "nothing of the new one came yet");
    assert!(!busy.is_of_another(2), "it is the same one");
    take(&mut busy, 1, 1);
    assert!(busy.is_of_another(5));
}

#[test]
fn a_server_that_has_forgotten_what_came_long_ago_is_doubted() {
    let mut partition = partition(&[1, 2]);
    let standing = only_the_first();
    assert_eq!(partition.heard(&standing, NOW + LONG / 2, true), None);
    assert!(!partition.is_in_doubt(), "it may not have known yet");
    partition.heard(&standing, NOW + LONG, true);
    assert!(partition.is_in_doubt());
    assert_eq!(partition.heard(&standing, NOW + 2 * LONG, true), Some(1));
}

#[test]
fn numbers_go_on_from_where_the_server_stands_when_nothing_is_open() {
    let mut partition = partition(&[1]);
    take(&mut partition, 1, 2);
    partition.settled(1);
    assert_eq!(acknowledge(&mut partition), Some((reply(1, 1), 1)));
    // By now the server may count its two deliveries as acknowledged.
    take(&mut partition, 2, 3);
    take(&mut partition, 3, 4);
    partition.settled(2);
    assert_eq!(acknowledge(&mut partition), Some((reply(2, 3), 1)));
    partition.settled(3);
    partition.sending(1);
    // While an acknowledgement is under way, too.
    assert_eq!(take(&mut partition, 3, 5), Arrival::Known);
    take(&mut partition, 4, 6);
    partition.settled(4);
    assert_eq!(partition.up_to(), Some((reply(4, 6), 1)));
}

#[test]
fn leases_are_renewed_when_they_are_old() {
    let mut partition = partition(&[1, 2, 3]);
    partition.settled(1);
    partition.sending(1);
    assert_eq!(partition.to_renew(NOW * 2, NOW * 2, 10), []);
    assert_eq!(names(&partition.to_renew(NOW * 3, NOW * 2, 1)), [2]);
    assert_eq!(names(&partition.to_renew(NOW * 3, NOW * 2, 10)), [3]);
    assert_eq!(partition.to_renew(NOW * 4, NOW * 2, 10), []);
}
