use proptest::prelude::*;

use super::*;

const ROOM: u64 = 1000;

struct Scene {
    tee: Option<Tee>,
    body: Option<CopiedBody>,
    watch: Watch,
    kept: Arc<AtomicU64>,
}

impl Scene {
    fn new(length: Option<u64>) -> Self {
        let kept = Arc::default();
        let (tee, body, watch) = pipe(length, ROOM, Arc::clone(&kept));
        Self {
            tee: Some(tee),
            body: Some(body),
            watch,
            kept,
        }
    }

    fn push(&self, length: usize) {
        let frame = Frame::data(Bytes::from(vec![7; length]));
        self.tee.as_ref().unwrap().push(&frame);
    }

    /// The length of the next piece.
    fn read(&self) -> Poll<Option<Result<usize, Dropped>>> {
        let mut cx = Context::from_waker(Waker::noop());
        let length = |frame: Frame<Bytes>| frame.into_data().map_or(0, |data| data.len());
        let frame = self.body.as_ref().unwrap().poll(&mut cx);
        frame.map(|frame| frame.map(|frame| frame.map(length)))
    }

    fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }
}

#[test]
fn pieces_and_trailers_come_out_in_their_order_and_then_the_end() {
    let scene = Scene::new(Some(30));
    let tee = scene.tee.as_ref().unwrap();
    let body = scene.body.as_ref().unwrap();
    scene.push(10);
    scene.push(0);
    scene.push(20);
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    tee.push(&Frame::trailers(trailers.clone()));
    tee.complete();
    assert_eq!(body.size_hint().exact(), Some(30));
    assert_eq!(scene.read(), Poll::Ready(Some(Ok(10))));
    assert_eq!(body.size_hint().exact(), Some(20));
    assert_eq!(scene.read(), Poll::Ready(Some(Ok(20))));
    assert!(!body.is_end() && !scene.watch.is_read());
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(last))) = body.poll(&mut cx) else {
        panic!("no trailers");
    };
    assert_eq!(last.into_trailers().ok(), Some(trailers));
    assert!(body.is_end() && scene.watch.is_read());
    assert_eq!(scene.read(), Poll::Ready(None));
    assert_eq!((scene.kept(), scene.watch.failure()), (0, None));
}

#[test]
fn a_copy_that_falls_behind_is_over_and_keeps_nothing() {
    let scene = Scene::new(None);
    scene.push(500);
    scene.push(300);
    assert_eq!(scene.kept(), 800 + 2 * PIECE_COST);
    scene.push(100);
    assert_eq!(scene.watch.failure(), Some(Dropped::Behind));
    assert_eq!(scene.kept(), 0);
    assert_eq!(scene.read(), Poll::Ready(Some(Err(Dropped::Behind))));
    scene.push(1);
    assert_eq!(scene.kept(), 0, "nothing is kept for nobody");
}

#[test]
fn tiny_pieces_are_bounded_too() {
    let scene = Scene::new(None);
    let pushed = (0..10_000).position(|_| {
        scene.push(1);
        scene.watch.failure().is_some()
    });
    assert_eq!(pushed, Some((ROOM / (1 + PIECE_COST)) as usize));
}

#[test]
fn a_piece_larger_than_the_room_passes_alone() {
    let scene = Scene::new(None);
    scene.push(5000);
    assert_eq!(scene.read(), Poll::Ready(Some(Ok(5000))));
    scene.push(5000);
    assert_eq!(scene.watch.failure(), None);
}

#[test]
fn an_original_that_breaks_off_gives_its_copy_up() {
    let mut scene = Scene::new(Some(100));
    scene.push(10);
    drop(scene.tee.take());
    assert_eq!(scene.read(), Poll::Ready(Some(Err(Dropped::Unfinished))));
    assert_eq!(scene.kept(), 0);

    let mut scene = Scene::new(Some(10));
    scene.push(10);
    scene.tee.as_ref().unwrap().complete();
    drop(scene.tee.take());
    assert_eq!(scene.read(), Poll::Ready(Some(Ok(10))), "it was complete");
    assert_eq!(scene.watch.failure(), None);
}

#[test]
fn nothing_is_kept_for_a_copy_that_was_answered_early() {
    let mut scene = Scene::new(Some(100));
    scene.push(10);
    drop(scene.body.take());
    assert_eq!(scene.kept(), 0);
    scene.push(90);
    scene.tee.as_ref().unwrap().complete();
    assert_eq!((scene.kept(), scene.watch.failure()), (0, None));
    assert!(!scene.watch.is_read());
}

#[tokio::test]
async fn who_watches_is_told_of_the_failure_whether_before_or_after() {
    let mut scene = Scene::new(None);
    {
        let mut failed = std::pin::pin!(scene.watch.failed());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(failed.as_mut().poll(&mut cx).is_pending());
        drop(scene.tee.take());
        assert_eq!(failed.await, Dropped::Unfinished);
    }
    assert_eq!(scene.watch.failed().await, Dropped::Unfinished);
}

proptest! {
    #[test]
    fn whatever_comes_in_comes_out_and_no_more_is_kept_than_there_is_room_for(
        // Lengths of pieces that come; 0 reads one.
        steps in prop::collection::vec(prop_oneof![Just(0_usize), 1_usize..400], 1..200),
    ) {
        let scene = Scene::new(None);
        let (mut pushed, mut read) = (Vec::new(), Vec::new());
        for step in steps {
            if step > 0 {
                scene.push(step);
                pushed.push(step);
            } else if let Poll::Ready(Some(Ok(length))) = scene.read() {
                read.push(length);
            }
            prop_assert!(scene.kept() <= ROOM);
            prop_assert!(pushed.starts_with(&read));
            if scene.watch.failure().is_some() {
                prop_assert_eq!(scene.kept(), 0);
                break;
            }
            let kept: usize = pushed[read.len()..].iter().sum();
            let pieces = (pushed.len() - read.len()) as u64;
            prop_assert_eq!(scene.kept(), kept as u64 + pieces * PIECE_COST);
        }
    }
}
