//! Publishing: everything is stored once, whatever happens to the server.

use hookflow::source::nats::publisher::publish;
use hookflow::source::pace::Pace;

use super::server::Server;
use super::world::{World, outgoing, until};

#[test]
#[ignore = "needs NATS"]
fn what_is_published_again_is_stored_once() {
    let Some(world) = World::new("published again") else {
        return;
    };
    let world = world.set_up();
    let published = world.publish(0..1_000);
    assert_eq!((published.messages, published.duplicates), (1_000, 0));
    let again = world.publish(500..1_500);
    assert_eq!((again.messages, again.duplicates), (1_000, 500));
    assert_eq!(world.state().messages, 1_500);
}

#[test]
#[ignore = "needs NATS"]
fn publishing_goes_on_when_its_server_comes_back() {
    let Some(mut server) = Server::start("publishing, server killed", "") else {
        return;
    };
    let world = World::on(&server.url()).set_up();
    let (prefix, connection) = (
        world.settings.subject.clone(),
        world.settings.connection.clone(),
    );
    let (reached, halfway) = crossbeam_channel::bounded(1);
    let publishing = std::thread::spawn(move || {
        let messages = (0..60_000).map(|number| {
            if number == 30_000 {
                reached.send(()).unwrap();
            }
            outgoing(&prefix, number)
        });
        publish(&connection, messages, Pace::default())
    });
    halfway.recv_timeout(super::world::LIMIT).unwrap();
    server.kill();
    server.start_again();
    until("everything is published", || publishing.is_finished());
    let published = publishing.join().unwrap().unwrap();
    assert_eq!(published.messages, 60_000);
    assert_eq!(world.state().messages, 60_000, "stored once each");
}

#[test]
#[ignore = "needs NATS"]
fn what_no_stream_takes_is_an_error() {
    let Some(world) = World::new("published nowhere") else {
        return;
    };
    let world = world.set_up();
    let messages = [outgoing(&format!("{}.too.many", world.settings.subject), 1)];
    let failure = publish(
        &world.settings.connection,
        messages.into_iter(),
        Pace::default(),
    )
    .unwrap_err();
    assert!(failure.message.contains("hookflow setup"), "{failure}");
}
