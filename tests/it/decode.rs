//! What the payloads of each provider mean, trap by trap.

use hookflow::decode::{self, DecodeConfig};
use hookflow::event::{BounceClass, Event, Headers, Kind, ReasonCode};
use hookflow::key::Bucket;

use crate::decode_fixtures::{code, decode, decode_with, delivery, event, events};

fn sns(message: &str) -> String {
    serde_json::json!({
        "Type": "Notification", "MessageId": "sns-1", "Timestamp": "2026-03-02T15:00:00.000Z", "Message": message,
    })
    .to_string()
}

#[test]
fn ses_suppression_is_neither_bounce_nor_complaint() {
    for sub_type in [
        "Suppressed",
        "OnAccountSuppressionList",
        "UnsubscribedRecipient",
    ] {
        let message = format!(
            r#"{{"eventType":"Bounce","mail":{{"messageId":"m"}},"bounce":{{"bounceType":"Permanent",
            "bounceSubType":"{sub_type}","bouncedRecipients":[{{"emailAddress":"a@example.com"}}]}}}}"#
        );
        assert_eq!(event("ses", &sns(&message)).kind, Kind::Dropped);
    }
    let message = r#"{"notificationType":"Complaint","mail":{"messageId":"m"},"complaint":{
        "complaintSubType":"OnAccountSuppressionList","complainedRecipients":[{"emailAddress":"a@example.com"}]}}"#;
    assert_eq!(event("ses", &sns(message)).kind, Kind::Dropped);
}

#[test]
fn ses_fans_out_to_recipients_and_an_open_names_nobody_of_several() {
    let message = r#"{"eventType":"Delivery","mail":{"messageId":"m","destination":["a@x.org","B <b@x.org>"]},
        "delivery":{"timestamp":"2026-03-02T14:00:00Z","recipients":["a@x.org","B <b@x.org>"]}}"#;
    let both = events("ses", &sns(message));
    let keys: Vec<_> = both.iter().map(|event| event.event_key.as_str()).collect();
    assert_eq!(keys, ["sns-1|a@x.org", "sns-1|b@x.org"]);
    assert_eq!([both[0].index, both[1].index], [0, 1]);
    assert_ne!(both[0].identity, both[1].identity);
    let open = message
        .replace("Delivery", "Open")
        .replace("\"delivery\"", "\"open\"");
    assert_eq!(event("ses", &sns(&open)).recipient, None);
}

#[test]
fn ses_texts_that_are_no_events() {
    let validated = "Successfully validated SNS topic for Amazon SES event publishing.";
    assert!(events("ses", &sns(validated)).is_empty());
    assert!(
        events(
            "ses",
            &sns(r#"{"notificationType":"AmazonSnsSubscriptionSucceeded"}"#)
        )
        .is_empty()
    );
    assert_eq!(code("ses", &sns("hello")), ReasonCode::BadShape);
    let unknown = event(
        "ses",
        &sns(r#"{"eventType":"New","mail":{"messageId":"m"}}"#),
    );
    assert_eq!(unknown.kind, Kind::Other);
    assert_eq!(
        unknown.occurred_at.unwrap().to_string(),
        "2026-03-02T15:00:00.000Z"
    );
    assert!(unknown.raw.is_some());
}

#[test]
fn ses_by_raw_delivery_takes_its_id_from_a_header() {
    let mut raw = delivery(
        "ses",
        r#"{"eventType":"Send","mail":{"messageId":"m","destination":["a@x.org"]}}"#,
    );
    let without = decode(raw.clone()).events.remove(0);
    assert_eq!(without.event_key, "Send|m|a@x.org|");
    raw.headers = Headers::from_pairs([("X-Amz-Sns-Message-Id", "sns-9")]);
    assert_eq!(decode(raw).events[0].event_key, "sns-9|a@x.org");
}

#[test]
fn sendgrid_without_event_id_and_with_odd_times() {
    let body = r#"[{"event":"Processed","email":"A@x.org","timestamp":"1772460000","sg_message_id":"m.filter1"}]"#;
    let made = event("sendgrid", body);
    assert_eq!(made.event_key, "processed|A@x.org|1772460000|m.filter1");
    assert_eq!(
        made.occurred_at.unwrap().to_string(),
        "2026-03-02T14:00:00.000Z"
    );
    let millis = event(
        "sendgrid",
        r#"[{"event":"open","sg_event_id":"e","timestamp":1772460000123,"sg_machine_open":"true"}]"#,
    );
    assert_eq!(
        millis.occurred_at.unwrap().to_string(),
        "2026-03-02T14:00:00.123Z"
    );
    assert!(millis.machine);
}

/// The class that a SendGrid bounce with these further fields has.
fn sendgrid_class(fields: &str) -> Option<BounceClass> {
    let body = format!(r#"[{{"event":"bounce","sg_event_id":"e"{fields}}}]"#);
    event("sendgrid", &body).bounce_class
}

#[test]
fn sendgrid_bounce_without_type_takes_its_class_from_the_status() {
    let (hard, soft) = (Some(BounceClass::Hard), Some(BounceClass::Soft));
    let cases = [
        (r#","status":"5.1.1""#, hard),
        (r#","status":"4.2.2""#, soft),
        (r#","type":"unheard-of","status":"5.0.0""#, hard),
        (r#","reason":"550 5.1.1 no such user""#, hard),
        (r#","reason":"452 mailbox full""#, soft),
        (r#","type":"blocked","status":"5.7.1""#, soft),
        (r#","type":"bounce","status":"4.0.0""#, hard),
        (r#","status":"2.0.0""#, Some(BounceClass::Undetermined)),
        ("", Some(BounceClass::Undetermined)),
    ];
    for (fields, class) in cases {
        assert_eq!(sendgrid_class(fields), class, "{fields}");
    }
}

#[test]
fn bounce_without_a_class_takes_it_from_the_status() {
    let (hard, soft) = (BounceClass::Hard, BounceClass::Soft);
    let cases = [
        (
            "mailgun",
            r#"{"event-data":{"id":"i","event":"failed","delivery-status":{"code":0,"enhanced-code":"5.1.1"}}}"#,
            hard,
        ),
        (
            "sparkpost",
            r#"[{"msys":{"e":{"type":"bounce","event_id":"e","error_code":"550"}}}]"#,
            hard,
        ),
        (
            "sparkpost",
            r#"[{"msys":{"e":{"type":"bounce","event_id":"e","raw_reason":"451 4.7.1 later"}}}]"#,
            soft,
        ),
        (
            "resend",
            r#"{"type":"email.bounced","data":{"email_id":"m","bounce":{"diagnosticCode":["smtp; 550 5.1.1 no such user"]}}}"#,
            hard,
        ),
        (
            "resend",
            r#"{"type":"email.bounced","data":{"email_id":"m","bounce":{"message":"452 4.2.2 mailbox full"}}}"#,
            soft,
        ),
    ];
    for (provider, body, class) in cases {
        assert_eq!(event(provider, body).bounce_class, Some(class), "{body}");
    }
}

#[test]
fn ses_bounce_without_a_type_takes_each_recipients_status() {
    let message = r#"{"eventType":"Bounce","mail":{"messageId":"m"},"bounce":{"bouncedRecipients":[
        {"emailAddress":"a@x.org","status":"5.1.1"},
        {"emailAddress":"b@x.org","diagnosticCode":"smtp; 452 4.2.2 mailbox full"},
        {"emailAddress":"c@x.org"}]}}"#;
    let classes: Vec<_> = events("ses", &sns(message))
        .iter()
        .map(|event| event.bounce_class.unwrap())
        .collect();
    let expected = [
        BounceClass::Hard,
        BounceClass::Soft,
        BounceClass::Undetermined,
    ];
    assert_eq!(classes, expected);
    let told = message.replace(r#""bounce":{"#, r#""bounce":{"bounceType":"Undetermined","#);
    let all = events("ses", &sns(&told));
    let undetermined = |event: &Event| event.bounce_class == Some(BounceClass::Undetermined);
    assert!(all.iter().all(undetermined), "the provider's own word wins");
}

#[test]
fn sendgrid_joins_by_the_id_that_the_sender_saw() {
    for (id, known) in [
        ("a.b.filter01.2", "a.b"),
        ("a.recvd-x-2", "a"),
        ("a.b", "a.b"),
        ("<a.filter>", "a"),
    ] {
        assert_eq!(decode::join_id("sendgrid", id), known);
        assert_eq!(decode::join_id("ses", "<x.filter>"), "x.filter");
    }
    let long = event(
        "sendgrid",
        r#"[{"event":"open","sg_event_id":"e","sg_message_id":"m.filter1"}]"#,
    );
    let short = event(
        "sendgrid",
        r#"[{"event":"open","sg_event_id":"f","sg_message_id":"m"}]"#,
    );
    assert_eq!(long.join, short.join);
    assert_eq!(long.message_id, "m.filter1");
}

#[test]
fn a_mailgun_id_is_another_event_on_another_day() {
    let body =
        |ts: &str| format!(r#"{{"event-data":{{"id":"i","event":"opened","timestamp":{ts}}}}}"#);
    assert_eq!(
        event("mailgun", &body("1772460000.1")).event_key,
        "i|2026-03-02"
    );
    assert_eq!(
        event("mailgun", &body("1772546400.1")).event_key,
        "i|2026-03-03"
    );
}

#[test]
fn mailgun_odd_shapes() {
    let body = r#"{"event-data":{"event":"failed","severity":"permanent","timestamp":1521233195.375624999,
        "delivery-status":null,"recipient":"a@x.org","message":{"headers":{"message-id":"m"}},
        "user-variables":"Could not load user-variables. They were either truncated or invalid JSON"}}"#;
    let odd = event("mailgun", body);
    assert_eq!(
        (odd.kind, odd.bounce_class),
        (Kind::Bounced, Some(BounceClass::Soft))
    );
    assert_eq!(odd.event_key, "failed|m|a@x.org|1521233195.375624999");
    assert_eq!(
        odd.occurred_at.unwrap().to_string(),
        "2018-03-16T20:46:35.375Z"
    );
    assert_eq!(odd.ids, None);
    let typed = body.replace(
        r#""delivery-status":null"#,
        r#""delivery-status":{"code":"421","bounce-type":"hard"}"#,
    );
    assert_eq!(
        event("mailgun", &typed).bounce_class,
        Some(BounceClass::Hard)
    );
    let legacy = decode(delivery("mailgun", "event=delivered&recipient=a%40x.org"));
    assert_eq!(legacy.rejects[0].reason.code, ReasonCode::BadShape);
    assert!(legacy.rejects[0].reason.text.contains("legacy"));
}

#[test]
fn a_postmark_change_after_a_bounce_is_no_unsubscribe() {
    let body = r#"{"RecordType":"SubscriptionChange","MessageID":"m","Recipient":"a@x.org","SuppressSending":true,
        "SuppressionReason":"HardBounce","ChangedAt":"2026-03-02T09:00:00-05:00"}"#;
    assert_eq!(event("postmark", body).kind, Kind::Other);
    let manual = event("postmark", &body.replace("HardBounce", "ManualSuppression"));
    assert_eq!(manual.kind, Kind::Unsubscribed);
    assert_eq!(
        manual.occurred_at.unwrap().to_string(),
        "2026-03-02T14:00:00.000Z"
    );
    assert_eq!(
        event("postmark", &body.replace("true", "false")).kind,
        Kind::Other
    );
}

#[test]
fn numbers_above_two_to_the_53_stay_exact() {
    let body = r#"{"ID":9007199254740993,"Type":"HardBounce","BouncedAt":"2026-03-02T14:00:00-04:00","MessageID":"m"}"#;
    assert_eq!(event("postmark", body).event_key, "Bounce|9007199254740993");
    let body = r#"[{"msys":{"x":{"type":"open","event_id":92356927693813860123456789}}}]"#;
    assert_eq!(
        event("sparkpost", body).event_key,
        "92356927693813860123456789"
    );
}

#[test]
fn resend_takes_the_time_of_the_event_and_the_id_of_either_header() {
    let body = r#"{"type":"email.bounced","created_at":"2026-03-02T14:00:00Z","data":{"created_at":"2020-01-01T00:00:00Z",
        "email_id":"m","to":["a@x.org","b@x.org"],"bounce":{"message":"Resend has suppressed sending to it"},
        "tags":[{"name":"recipient_id","value":"r"},{"name":"batch_id","value":""}]}}"#;
    let old = event("resend", body);
    assert_eq!((old.kind, old.recipient.as_deref()), (Kind::Dropped, None));
    assert_eq!(old.event_key, "email.bounced|m|2026-03-02T14:00:00Z");
    assert_eq!(
        old.occurred_at.unwrap().to_string(),
        "2026-03-02T14:00:00.000Z"
    );
    let ids = old.ids.unwrap();
    assert_eq!((&ids.recipient_id[..], &ids.batch_id[..]), ("r", ""));
    let mut named = delivery("resend", body);
    named.headers = Headers::from_pairs([("Webhook-Id", "msg_1")]);
    assert_eq!(decode(named).events[0].event_key, "msg_1");
}

#[test]
fn sparkpost_without_an_event_id_and_its_classes() {
    let body = |class: &str| {
        format!(
            r#"[{{"msys":{{"message_event":{{"type":"bounce","message_id":"p","transmission_id":"t","rcpt_to":"a@x.org",
            "timestamp":"1772460000","bounce_class":"{class}"}}}}}},{{"msys":{{}}}}]"#
        )
    };
    let bounce = event("sparkpost", &body("1"));
    assert_eq!(bounce.event_key, "bounce|p|a@x.org|1772460000");
    assert_eq!(bounce.message_id, "t");
    assert_eq!(bounce.bounce_class, Some(BounceClass::Undetermined));
    assert_eq!(event("sparkpost", &body("90")).kind, Kind::Unsubscribed);
    assert_eq!(event("sparkpost", &body("60")).kind, Kind::Other);
    assert_eq!(
        event("sparkpost", &body("22")).bounce_class,
        Some(BounceClass::Soft)
    );
}

#[test]
fn mandrill_keeps_every_event_of_a_message_apart() {
    let body = "mandrill_events=%5B%7B%22event%22:%22open%22,%22_id%22:%22m%22,%22ts%22:1772460000%7D,\
        %7B%22event%22:%22click%22,%22ts%22:1772460000,%22url%22:%22https:%5C/%5C/x.org%5C/a+b%22,%22msg%22:%7B%22_id%22:%22m%22,\
        %22metadata%22:%5B%5D%7D%7D%5D";
    let keys: Vec<_> = events("mandrill", body)
        .into_iter()
        .map(|e| e.event_key)
        .collect();
    assert_eq!(
        keys,
        ["open|m|1772460000", "click|m|1772460000|https://x.org/a b"]
    );
    assert_eq!(code("mandrill", "[]"), ReasonCode::BadShape);
}

#[test]
fn brevo_batches_seconds_and_twins() {
    let body = r#"[{"id":1,"event":"opened","email":"a@x.org","message-id":"<m>","ts_epoch":1772460000,"date":"2020-01-01 00:00:00"},
        {"id":1,"event":"unique_opened","email":"a@x.org","message-id":"<m>","ts_event":1772460000},
        {"id":1,"event":"click","email":"a@x.org","message-id":"<m>","ts":"1772460000"}]"#;
    let all = events("brevo", body);
    assert_eq!(all[0].event_key, "opened|m|a@x.org|1772460000000");
    assert_eq!(all[2].event_key, "click|m|a@x.org|1772460000000|");
    assert!(
        all.iter()
            .all(|event| event.bucket == Bucket(1_772_460_000 / 3_600))
    );
    assert_ne!(all[0].identity, all[1].identity);
}

#[test]
fn mailersend_twins_and_the_flat_shape() {
    let body = r#"{"type":"activity.opened_unique","created_at":"2026-03-02 14:00:00","data":{"id":"i","message_id":"m",
        "email":"a@x.org","meta":[]}}"#;
    let flat = event("mailersend", body);
    assert_eq!(
        (flat.kind, &flat.event_key[..]),
        (Kind::Other, "opened_unique|i")
    );
    assert_eq!(
        (&flat.message_id[..], flat.recipient.as_deref()),
        ("m", Some("a@x.org"))
    );
    assert_eq!(flat.bucket, Bucket::NONE);
    assert!(flat.occurred_at.is_some());
}

#[test]
fn twilio_takes_ids_from_the_callback_url_and_the_first_of_repeated_fields() {
    let mut body = delivery(
        "twilio",
        "MessageSid=SM1&MessageStatus=Sent&MessageStatus=failed&To=%2B1555&New=x",
    );
    body.url = "https://x/in?recipient_id=r%201&batch_id=b#f".into();
    let sent = decode(body).events.remove(0);
    assert_eq!((sent.kind, &sent.event_key[..]), (Kind::Sent, "SM1|sent"));
    assert_eq!(sent.recipient.as_deref(), Some("+1555"));
    let ids = sent.ids.unwrap();
    assert_eq!((&ids.recipient_id[..], &ids.batch_id[..]), ("r 1", "b"));
}

#[test]
fn vonage_says_the_same_by_get_form_and_json() {
    let query = "msisdn=447700900000&to=Acme&messageId=M1&status=delivered&err-code=0&message-timestamp=2026-03-02+14:00:05";
    let mut get = delivery("vonage", "");
    get.url = format!("https://x/in?{query}").into();
    let form = event("vonage", query);
    let json = event(
        "vonage",
        r#"{"msisdn":"447700900000","to":"Acme","messageId":"M1","status":"delivered","err-code":"0",
        "message-timestamp":"2026-03-02 14:00:05"}"#,
    );
    for other in [&decode(get).events[0], &json] {
        assert_eq!(
            (other.identity, &other.recipient),
            (form.identity, &form.recipient)
        );
        assert_eq!(
            (other.occurred_at, other.bucket),
            (form.occurred_at, Bucket::NONE)
        );
    }
    assert_eq!(form.recipient.as_deref(), Some("+447700900000"));
    let old = event(
        "vonage",
        r#"{"message_uuid":"u","to":{"type":"sms","number":"4477"},"status":"read","timestamp":{}}"#,
    );
    assert_eq!(
        (old.recipient.as_deref(), old.occurred_at),
        (Some("+4477"), None)
    );
}

#[test]
fn ids_come_from_each_providers_own_place_and_both_must_be_there() {
    let ids = r#"{"recipient_id":77,"batch_id":"b","big":{"x":[1]}}"#;
    let text = serde_json::Value::from(ids).to_string();
    let ses = r#"{"eventType":"Open","mail":{"messageId":"m","tags":{"recipient_id":["77"],"batch_id":["b"]}}}"#;
    let bodies = [
        ("ses", sns(ses)),
        (
            "sendgrid",
            r#"[{"event":"open","sg_event_id":"e","recipient_id":77,"batch_id":"b"}]"#.into(),
        ),
        (
            "sendgrid",
            format!(r#"[{{"event":"open","sg_event_id":"e","custom_args":{ids}}}]"#),
        ),
        (
            "sendgrid",
            format!(r#"[{{"event":"open","sg_event_id":"e","unique_args":{ids}}}]"#),
        ),
        (
            "mailgun",
            format!(r#"{{"event-data":{{"id":"i","event":"opened","user-variables":{ids}}}}}"#),
        ),
        (
            "mailgun",
            format!(r#"{{"event-data":{{"id":"i","event":"opened","user-variables":{text}}}}}"#),
        ),
        (
            "postmark",
            format!(r#"{{"RecordType":"Open","MessageID":"m","Metadata":{ids}}}"#),
        ),
        (
            "resend",
            format!(r#"{{"type":"email.opened","data":{{"email_id":"m","tags":{ids}}}}}"#),
        ),
        (
            "sparkpost",
            format!(r#"[{{"msys":{{"x":{{"type":"open","event_id":1,"rcpt_meta":{ids}}}}}}}]"#),
        ),
        (
            "mandrill",
            format!(r#"mandrill_events=[{{"event":"open","_id":"m","msg":{{"metadata":{ids}}}}}]"#),
        ),
        (
            "brevo",
            format!(r#"{{"event":"opened","email":"a@x.org","X-Mailin-custom":{text}}}"#),
        ),
    ];
    for (provider, body) in bodies {
        let ids = event(provider, &body)
            .ids
            .unwrap_or_else(|| panic!("{body}"));
        assert_eq!(
            (&ids.recipient_id[..], &ids.batch_id[..]),
            ("77", "b"),
            "{body}"
        );
        let half = body.replace("batch_id", "batch");
        assert_eq!(event(provider, &half).ids, None, "{half}");
    }
}

#[test]
fn the_names_of_the_ids_are_a_setting() {
    let options = DecodeConfig {
        recipient_id_name: "who".into(),
        batch_id_name: "which".into(),
        ..DecodeConfig::default()
    };
    let body = r#"[{"event":"open","sg_event_id":"e","who":"r","which":""}]"#;
    let ids = decode_with(delivery("sendgrid", body), &options)
        .events
        .remove(0)
        .ids;
    assert_eq!(ids.unwrap().recipient_id, "r");
}

#[test]
fn times_that_nobody_can_mean_count_as_none() {
    for time in ["0", "1262303999", "4102444800", "\"soon\"", "null"] {
        let body = format!(r#"[{{"event":"open","sg_event_id":"e","timestamp":{time}}}]"#);
        let timeless = event("sendgrid", &body);
        assert_eq!(
            (timeless.occurred_at, timeless.bucket),
            (None, Bucket::NONE),
            "{time}"
        );
    }
}
