//! Who may have a link with whom.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use freehold_net::{Accept, BindError, Body, Class, Credit, Endpoint, Identity, LinkConfig, LinkError};

use crate::kit::{Kind, RawLink, RawServer, RawTls, assert_alive, connect, key_of, method, request, serve};

pub(crate) async fn any_key_is_admitted_and_shown_to_the_handler<K: Kind>() {
    let (addr, key, _bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    for seed in [5, 6] {
        let client = K::bind(seed, Accept::None, LinkConfig::default());
        let link = client.connect(addr, key).await.expect("anybody is admitted");
        assert_eq!(link.peer().key, key);
        let call = link.call(request(method::WHO, Class::Control, "", Body::empty()), Credit::NONE).await;
        let response = call.expect("sent").collect(0).await.expect("answered");
        assert_eq!(response.head, key_of(seed).as_bytes()[..]);
    }
}

pub(crate) async fn pinned_keys_are_admitted_and_others_refused_at_both_sides<K: Kind>() {
    let config = LinkConfig::default();
    let server = K::bind(1, Accept::Pinned([key_of(5)].into_iter().collect()), config);
    let addr = server.local_addr().expect("bound");
    for (seed, admitted) in [(5, true), (6, false)] {
        let client = K::bind(seed, Accept::None, config);
        let accepted = async { server.accept().await.expect("open").establish().await };
        let (there, here) = tokio::join!(accepted, client.connect(addr, key_of(1)));
        if admitted {
            assert_eq!(there.expect("admitted").peer().key, key_of(seed));
            here.expect("admitted");
        } else {
            assert_eq!(there.expect_err("not pinned"), LinkError::WrongPeer);
            assert_eq!(here.expect_err("not pinned"), LinkError::NotAdmitted);
        }
    }
}

pub(crate) async fn wrong_server_key_is_refused_at_both_sides<K: Kind>() {
    let config = LinkConfig::default();
    let (server, client) = (K::bind(1, Accept::AnyKey, config), K::bind(2, Accept::None, config));
    let addr = server.local_addr().expect("bound");
    let accepted = async { server.accept().await.expect("open").establish().await };
    let (there, here) = tokio::join!(accepted, client.connect(addr, key_of(3)));
    assert_eq!(here.expect_err("another key"), LinkError::WrongPeer);
    assert_eq!(there.expect_err("the client left"), LinkError::NotAdmitted);
}

pub(crate) async fn peer_without_the_hybrid_key_exchange_is_refused_at_both_sides<K: Kind>() {
    let server = K::bind(1, Accept::AnyKey, LinkConfig::default());
    let addr = server.local_addr().expect("bound");
    let accepted = async { server.accept().await.expect("open").establish().await };
    let (there, here) = tokio::join!(accepted, K::raw_connect(addr, key_of(1), RawTls::Classical(5)));
    assert!(here.is_err(), "an X25519 client got a link");
    assert_eq!(there.expect_err("no common group"), LinkError::Incompatible);

    let classical = K::raw_listen(1, RawTls::Classical(1));
    let client = K::bind(2, Accept::None, LinkConfig::default());
    let (there, here) = tokio::join!(classical.accept(), client.connect(classical.addr(), key_of(1)));
    assert!(there.is_none(), "an X25519 server got a link");
    assert_eq!(here.expect_err("no common group"), LinkError::Incompatible);
}

pub(crate) async fn client_that_shows_no_key_is_refused<K: Kind>() {
    let server = K::bind(1, Accept::AnyKey, LinkConfig::default());
    let addr = server.local_addr().expect("bound");
    let accepted = async { server.accept().await.expect("open").establish().await };
    let raw = async {
        // Its own handshake ends before the server has judged it, so it learns by the close.
        if let Ok(raw) = K::raw_connect(addr, key_of(1), RawTls::Anonymous).await {
            assert_eq!(raw.close_code().await, None, "refused in the handshake, not by the link");
        }
    };
    let (there, ()) = tokio::join!(accepted, raw);
    assert!(there.is_err(), "a client without a key got a link");
}

pub(crate) async fn silent_address_times_out<K: Kind>() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let config = LinkConfig { handshake_timeout: Duration::from_millis(200), ..LinkConfig::default() };
    let client = K::bind(2, Accept::None, config);
    let link = client.connect(silent.local_addr().expect("bound"), key_of(1)).await;
    assert_eq!(link.expect_err("nobody is there"), LinkError::Timeout);
}

pub(crate) async fn taken_port_is_named<K: Kind>() {
    let (addr, key, _bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    let second = Endpoint::bind(addr, Identity::from_seed(&[2; 32]), Accept::None, LinkConfig::default());
    assert!(matches!(second, Err(BindError::PortTaken(taken)) if taken == addr));
    assert_alive(&connect::<K>(addr, key, LinkConfig::default()).await).await;
}
