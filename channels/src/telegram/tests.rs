//! Nothing printed holds the token, whatever goes wrong on the way.

use super::*;
use crate::channel::Chat;
use crate::testing::{Fault, Person, TelegramServer};

const SECRET: &str = "AA-very-secret";

fn assert_clean(printed: &str) {
    assert!(!printed.contains(SECRET), "{printed}");
}

#[tokio::test]
async fn nothing_printed_holds_the_token() {
    let token = format!("42:{SECRET}");
    let server = TelegramServer::start(&token).await.unwrap();
    let telegram = Telegram::new(&token, Some(server.url())).unwrap();
    assert_clean(&format!("{telegram:?} {:?}", telegram.inbox(None)));
    server.say(&Person::new(7, "Li"), "hi");
    let chat = Chat::parse("7").unwrap();
    let piece = telegram.render("a").remove(0);
    let echo = |code| Fault::Refused {
        code,
        description: format!("Bad Request: /bot{token}/sendMessage"),
    };
    let faults = [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Garbled,
        Fault::Gateway(502),
        Fault::Gateway(301),
        echo(400),
        echo(500),
        echo(401),
    ];
    for fault in faults {
        server.fault("sendMessage", fault.clone());
        let error = telegram.post(&chat, &piece, None).await.unwrap_err();
        assert_clean(&format!("{error} {error:?} {error:#?}"));
        server.fault("getUpdates", fault);
        let error = telegram.inbox(None).receive().await.unwrap_err();
        assert_clean(&format!("{error} {error:?} {error:#?}"));
    }
    // Nobody listens there any more; the name of another host does not resolve.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for url in [
        format!("http://127.0.0.1:{port}"),
        "http://nowhere.invalid/a/".to_owned(),
    ] {
        let away = Telegram::new(&token, Some(Url::parse(&url).unwrap())).unwrap();
        let error = away.identify().await.unwrap_err();
        assert_clean(&format!("{error} {error:?} {error:#?}"));
        let error = away.post(&chat, &piece, None).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent { .. }), "{error:?}");
        assert_clean(&format!("{error} {error:?} {error:#?}"));
    }
}
