//! Headers that no edge writes.
#![allow(
    unsafe_code,
    reason = "the driver cannot write what it cannot read: the client beneath it can"
)]

use rdkafka::ClientConfig;
use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_headers_t};
use rdkafka::error::IsError as _;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::job::{Job, numbers};
use super::wait::{LIMIT, until};
use super::world::{World, brokers};

/// One header, whose name is no UTF-8.
fn strange() -> OwnedHeaders {
    let all = OwnedHeaders::new();
    let native = std::ptr::from_ref(all.as_borrowed());
    let native = native.cast_mut().cast::<rd_kafka_headers_t>();
    let (name, value) = (b"\xff\xfe", b"1");
    // SAFETY: the driver's borrowed headers are the client's own, by a cast of their address; name and value are as long as is
    // said, and the client copies them.
    let added =
        unsafe { rd_kafka_header_add(native, name.as_ptr().cast(), 2, value.as_ptr().cast(), 1) };
    assert!(!added.is_error());
    all
}

#[test]
#[ignore = "needs Kafka"]
fn a_header_whose_name_is_no_text_ends_nothing() {
    let Some(address) = brokers("strange headers") else {
        return;
    };
    let world = World::on(&address).set_up(1);
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config.set("bootstrap.servers", &address).create().unwrap();
    let record = BaseRecord::<(), [u8]>::to(world.topic())
        .payload(b"0")
        .headers(strange());
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
    world.publish_to(0, 1..10, None);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(10);
    assert_eq!(numbers(&parcels), (0..10).collect::<Vec<_>>());
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    assert!(job.end().is_none());
}
