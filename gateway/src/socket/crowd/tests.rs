use super::*;

const MOST: Most = Most {
    all: 4,
    of_one: 2,
    upstream: 4,
};

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn limits(all: Option<usize>, of_one: Option<usize>) -> RequestLimits {
    RequestLimits {
        header_timeout: at(1),
        max_header_bytes: 8192,
        max_headers: 100,
        idle_timeout: at(1),
        max_streams: 100,
        ipv6_prefix: 64,
        max_connections: all,
        max_connections_per_address: of_one,
    }
}

#[test]
fn by_default_there_is_room_for_workers_and_for_everything_else() {
    let within = |descriptors, all, of_one| {
        let most = Most::within(descriptors, &limits(all, of_one));
        (most.all, most.of_one, most.upstream)
    };
    assert_eq!(within(1024, None, None), (384, 192, 384));
    let half = ((1 << 20) - 1024) / 2;
    assert_eq!(within(1 << 20, None, None), (half, half / 2, half));
    assert_eq!(within(2, None, None), (1, 1, 1));
    assert_eq!(within(1024, Some(500), Some(3)), (500, 3, 268));
    assert_eq!(within(1024, Some(5000), None), (768, 384, 192));
}

#[test]
fn a_newcomer_takes_the_place_of_the_idlest_and_of_strangers_first() {
    let crowd = Arc::new(Crowd::default());
    let places: Vec<_> = (0..4)
        .map(|second| crowd.enter(None, MOST, at(second)).unwrap())
        .collect();
    // The two that are here for longest have had requests, one of them has one now.
    places[0].seat.known.store(true, Ordering::Relaxed);
    places[1].seat.known.store(true, Ordering::Relaxed);
    places[1].seat.in_flight.store(1, Ordering::Relaxed);
    let asked = || {
        places
            .iter()
            .map(|place| place.seat.is_asked())
            .collect::<Vec<_>>()
    };
    let fifth = crowd.enter(None, MOST, at(9)).unwrap();
    assert_eq!(asked(), [false, false, true, false]);
    // It has not left yet, and its place is not given away twice.
    let sixth = crowd.enter(None, MOST, at(9)).unwrap();
    assert_eq!(asked(), [false, false, true, true]);
    fifth.seat.in_flight.store(1, Ordering::Relaxed);
    sixth.seat.in_flight.store(1, Ordering::Relaxed);
    let seventh = crowd.enter(None, MOST, at(9)).unwrap();
    assert_eq!(asked(), [true, false, true, true]);
    seventh.seat.in_flight.store(1, Ordering::Relaxed);
    assert!(
        crowd.enter(None, MOST, at(9)).is_none(),
        "everybody is busy or leaves"
    );
    assert_eq!((crowd.idlest.count(), crowd.full.count()), (3, 1));
    drop((places, fifth, sixth, seventh));
    assert_eq!(crowd.present.load(Ordering::Relaxed), 0);
    assert_eq!(crowd.leaving.load(Ordering::Relaxed), 0);
}

#[test]
fn one_client_has_only_its_share_and_all_addresses_of_a_64_are_one() {
    let crowd = Arc::new(Crowd::default());
    let enter = |client: &str| {
        let client = Client::at(client.parse().unwrap(), 64);
        crowd.enter(Some(client), MOST, at(0))
    };
    let first = enter("2001:db8::1");
    let second = enter("2001:db8::2");
    assert!(first.is_some() && second.is_some());
    assert!(enter("2001:db8::3").is_none());
    assert!(enter("2001:db8:0:1::1").is_some());
    drop(first);
    assert!(enter("2001:db8::3").is_some());
    assert_eq!((crowd.of_one.count(), crowd.idlest.count()), (1, 0));
    drop(second);
    assert!(crowd.list.lock().by_client.is_empty());
}

#[test]
fn those_who_left_are_forgotten() {
    let crowd = Arc::new(Crowd::default());
    for _ in 0..10_000 {
        assert!(crowd.enter(None, MOST, at(0)).is_some());
    }
    assert!(crowd.list.lock().seats.capacity() <= 1024);
}
