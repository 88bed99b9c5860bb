// Words and numbers: iterators that inline deeply, const generics, threads, unwinding, string searching, slices.
use std::borrow::Cow;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

struct Grid<T, const W: usize, const H: usize>([[T; W]; H]);

impl<T: Copy + Default + Into<f64>, const W: usize, const H: usize> Grid<T, W, H> {
    #[inline(never)]
    fn turned(&self) -> Grid<T, H, W> {
        let mut out = [[T::default(); H]; W];
        for (y, row) in self.0.iter().enumerate() {
            for (x, cell) in row.iter().enumerate() {
                out[x][y] = *cell;
            }
        }
        Grid(out)
    }
    fn total(&self) -> f64 {
        self.0.iter().flat_map(|row| row.iter()).map(|cell| (*cell).into()).filter(|x| *x > 0.5).sum()
    }
}

#[inline(never)]
fn normal(word: &str) -> Cow<'_, str> {
    if word.chars().all(char::is_lowercase) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect())
    }
}

#[inline(never)]
fn primes(limit: usize) -> impl Iterator<Item = usize> {
    let mut composite = vec![false; limit];
    for i in 2..limit {
        if !composite[i] {
            (i * i..limit).step_by(i).for_each(|j| composite[j] = true);
        }
    }
    composite.into_iter().enumerate().skip(2).filter(|(_, c)| !c).map(|(i, _)| i)
}

macro_rules! operations {
    ($($name:ident => $operator:tt),*) => { $(
        #[inline(never)]
        fn $name(a: u64, b: u64) -> Option<u64> {
            let a = a | 1;
            a.checked_add(b)?.checked_mul(2).map(|x| x $operator b)
        }
    )* };
}
operations!(with_xor => ^, with_and => &, with_or => |);

fn checked_panic(n: i32) -> Result<i32, String> {
    std::panic::catch_unwind(|| if n > 2 { panic!("too many: {n}") } else { [1, 2, 3][n as usize] })
        .map_err(|error| error.downcast_ref::<String>().cloned().unwrap_or_default())
}

fn longest<'a>(words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().max_by_key(|word| (word.len(), std::cmp::Reverse(*word)))
}

fn main() {
    let text = "The quick brown Fox jumps over the lazy Dog; a Zebra runs. 42 times 7 is 294";
    let words: Vec<&str> = text.split_whitespace().collect();
    let set: BTreeSet<String> = words.iter().map(|word| normal(word).into_owned()).collect();
    let heap: BinaryHeap<(usize, char)> = words.iter().filter_map(|w| Some((w.len(), w.chars().next()?))).collect();
    let numbers: Vec<u64> = words.iter().flat_map(|word| word.parse()).collect();

    let shared = Arc::new(Mutex::new(Vec::new()));
    let (send, receive) = mpsc::channel();
    let threads: Vec<_> = (0..3u64)
        .map(|i| {
            let (shared, send) = (Arc::clone(&shared), send.clone());
            thread::spawn(move || {
                shared.lock().unwrap().push(i);
                let list = [with_xor(i, 3), with_and(i, 5), with_or(u64::MAX - i, 9)];
                send.send(list.into_iter().flatten().sum::<u64>()).unwrap();
            })
        })
        .collect();
    drop(send);
    for one in threads {
        one.join().unwrap();
    }
    let mut got: Vec<u64> = receive.iter().collect();
    got.sort_by(|a, b| b.cmp(a));

    let grid = Grid([[1.0f32, 2.0, 3.0], [4.0, 0.25, 6.0]]);
    std::panic::set_hook(Box::new(|_| {}));
    println!("{set:?} {:?} {numbers:?} {got:?}", heap.into_sorted_vec());
    println!("{} {} {:?}", grid.total(), grid.turned().total(), shared.lock().unwrap().len());
    println!("{:?} {:?} {:?}", primes(100).last(), checked_panic(1), checked_panic(5));
    println!("{:?} {:?}", longest(&words), text.find("Zebra").map(|at| &text[at..]));
}
